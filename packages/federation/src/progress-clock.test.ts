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

test('the last step of a site that comes back says nothing of how long its steps take', () => {
  const known = { ...begin(newProgress(0), 0), stepMs: [200_000] }
  let told = known as ReturnType<typeof begin>
  // Every login tells again what was done before it.
  for (let login = 1; login <= 30; login++) {
    told = advance({ ...begin(told, 60_000 * login), isPartial: true }, 7, 200, 60_000 * login + 1000)
    expect(told).toMatchObject({ step: 7, since: 60_000 * login + 1000, stepMs: [200_000] })
  }
  expect(advance(told, 8, 200, told.since + 200_000).stepMs).toEqual([200_000, 200_000])
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
