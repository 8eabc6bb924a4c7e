import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import { countThreads, defaultThreads, MOST_THREADS } from './threads.js'

test('a session has a thread a core when it is not told how many, and no more than there can be', () => {
  expect(defaultThreads()).toBe(Math.min(availableParallelism(), MOST_THREADS))
  expect(defaultThreads(1, 2)).toBe(2)
  expect(defaultThreads(1, 256)).toBe(MOST_THREADS)
})

test('processes that share a machine share its cores, and each has one at least', () => {
  expect(defaultThreads(3, 16)).toBe(5)
  expect(defaultThreads(40, 16)).toBe(1)
  expect(defaultThreads(2, 256)).toBe(MOST_THREADS)
})

test('a number of threads that a session cannot have is refused with those that it can', () => {
  expect(countThreads(MOST_THREADS)).toBe(MOST_THREADS)
  for (const threads of [0, -1, 1.5, Number.NaN, MOST_THREADS + 1]) {
    expect(() => countThreads(threads)).toThrow(
      expect.objectContaining({
        code: 'ENGINE_INPUT',
        kind: 'usage',
        message: `a session cannot have ${threads} threads`,
        hint: 'ask for 1 to 64 threads',
      }),
    )
  }
})
