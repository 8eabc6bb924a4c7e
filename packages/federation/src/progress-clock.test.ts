import { expect, test } from 'vitest'
import { advance, begin, finish, newProgress, patienceMs } from './progress-clock.js'

const CONFIG = { leastMs: 60_000, firstMs: 600_000 }

test('a step counts for no longer than was waited for it: no site switches off that it is found hanging', () => {
  for (const seconds of [1e308, 1e9]) {
    const told = advance(begin(newProgress(0), 0), 1, seconds, 10_000)
    expect(told.stepMs).toEqual([10_000])
    expect(patienceMs(told, 'train', CONFIG)).toBe(200_000)
  }
  expect(advance(begin(newProgress(0), 0), 1, 2, 10_000).stepMs).toEqual([2000])
})

test('a training counts for no longer than since its task was sent', () => {
  const trained = finish(advance(begin(newProgress(0), 1000), 9, 1, 900_000), 'train', 901_000, 1e308)
  expect(trained.trainingMs).toBe(900_000)
  expect(patienceMs(trained, 'evaluate', CONFIG)).toBe(1_800_000)
})

test('one whose begin was not seen makes what is known of the last one no shorter', () => {
  const known = { ...begin(newProgress(0), 1000), trainingMs: 700_000, isPartial: true }
  expect(finish(known, 'train', 2000, 1e308).trainingMs).toBe(700_000)
  expect(finish(known, 'train', 901_000, 800_000).trainingMs).toBe(800_000)
})
