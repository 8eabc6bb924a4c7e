import { expect, test } from 'vitest'
import { isStagnant, type Rise, riseAfter } from './early-stop.js'

/** The round after which a run of these scores ends, or null. */
function endOf(scores: readonly (number | null)[], patience: number, minDelta = 0): number | null {
  let rise: Rise | null = null
  for (const [index, score] of scores.entries()) {
    rise = riseAfter(rise, index + 1, score, minDelta)
    if (isStagnant(rise, index + 1, { patience, minDelta })) return index + 1
  }
  return null
}

test('a run ends when its score has not risen for `patience` rounds', () => {
  expect(endOf([0.1, 0.2, 0.2, 0.19, 0.2], 3)).toBe(5)
  expect(endOf([0.1, 0.2, 0.2, 0.19, 0.21, 0.2, 0.2], 3)).toBeNull()
})

test('a rise of no more than minDelta is none, and small rises add up', () => {
  expect(endOf([0.1, 0.11, 0.12, 0.13], 2, 0.05)).toBe(3)
  expect(endOf([0.1, 0.13, 0.16, 0.19, 0.22], 2, 0.05)).toBeNull()
})

test('rounds without a score neither rise nor, before the first score, end a run', () => {
  expect(endOf([null, null, null, null], 1)).toBeNull()
  expect(endOf([0.5, null, null], 2)).toBe(3)
})
