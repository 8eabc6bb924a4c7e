import { MOST_THREADS as OF_THE_ENGINE } from '@meshfl/engine'
import { Command } from 'commander'
import { expect, test } from 'vitest'
import { MOST_THREADS, withEngineOptions } from './engine-options.js'

const parsed = (threads: string) =>
  withEngineOptions(new Command('compute').exitOverride().configureOutput({ writeErr: () => undefined })).parse(
    ['--threads', threads],
    { from: 'user' },
  )

test('--threads takes what the engine takes, and says the limit in the help and when it refuses', () => {
  expect(MOST_THREADS).toBe(OF_THE_ENGINE)
  expect(parsed('64').opts()).toEqual({ threads: 64 })
  for (const threads of ['0', '65', '1.5', 'many', '']) {
    expect(() => parsed(threads)).toThrow(
      /'--threads <n>' argument .* is invalid. expected a whole number from 1 to 64$/,
    )
  }
  expect(withEngineOptions(new Command()).helpInformation().replaceAll(/\s+/g, ' ')).toContain('1 to 64')
})
