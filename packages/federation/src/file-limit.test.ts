import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkFileLimit, openFileLimit } from './file-limit.js'

test('a coordinator does not start where its sites would use up the open files', () => {
  expect(() => checkFileLimit(2, 0, 1024)).not.toThrow()
  expect(() => checkFileLimit(960, 0, 1024)).not.toThrow()
  expect(() => checkFileLimit(961, 0, 1024)).toThrow(/961 sites need 1025 open files, this process may have 1024/)
  expect(() => checkFileLimit(4000, 0, undefined)).not.toThrow()
})

test('what a coordinator holds open beside its sites counts too', () => {
  expect(() => checkFileLimit(400, 560, 1024)).not.toThrow()
  expect(() => checkFileLimit(400, 561, 1024)).toThrow(
    /400 sites with their figures, metrics and tunnels need 1025 open files, this process may have 1024/,
  )
})

test.skipIf(!existsSync('/proc/self/limits'))('the limit is read (skipped where there is no /proc)', () => {
  expect(openFileLimit() ?? Number.POSITIVE_INFINITY).toBeGreaterThan(0)
})
