import { expect, test } from 'vitest'
import { Turnstile } from './turnstile.js'

test('one passes at a time, in the order of arrival, also after one that failed or was stopped', async () => {
  const turnstile = new Turnstile()
  const { signal } = new AbortController()
  const log: string[] = []
  const work = (name: string) => async (): Promise<string> => {
    log.push(`${name} in`)
    await new Promise((resolve) => setImmediate(resolve))
    log.push(`${name} out`)
    if (name === 'b') throw new Error('b failed')
    return name
  }
  const stopped = turnstile.pass(work('a'), signal)
  const results = await Promise.allSettled([
    stopped,
    turnstile.pass(work('b'), signal),
    turnstile.pass(work('c'), AbortSignal.abort()),
    turnstile.pass(work('d'), signal),
  ])
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled'])
  expect(log).toEqual(['a in', 'a out', 'b in', 'b out', 'd in', 'd out'])
})
