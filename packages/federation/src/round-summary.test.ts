import { expect, test } from 'vitest'
import { type SiteMetrics, summarizeScores } from './round-summary.js'

function site(name: string, weight: number, loss: number | null, foregroundDice: number | null): SiteMetrics {
  return { site: name, weight, loss, dice: { perClass: { brain: foregroundDice }, foregroundDice } }
}

test('a site that cannot score a model counts with a Dice of 0: who claims a high one does not decide alone', () => {
  expect(summarizeScores([site('a', 3, null, null), site('b', 1, 0.5, 1)])).toEqual({
    cases: 4,
    loss: 0.5,
    dice: { perClass: { brain: 0.25 }, foregroundDice: 0.25 },
  })
})

test('a Dice that is sent without a loss is none', () => {
  expect(summarizeScores([site('a', 3, 0.5, 0.5), site('b', 1, null, 1)]).dice.foregroundDice).toBe(0.375)
  expect(summarizeScores([site('b', 1, null, 1)])).toEqual({
    cases: 1,
    loss: null,
    dice: { perClass: {}, foregroundDice: null },
  })
})

test('a site without validation cases changes nothing', () => {
  expect(summarizeScores([site('a', 2, 0.5, 0.7), site('b', 0, null, null)])).toMatchObject({
    ...{ cases: 2, loss: 0.5, dice: { foregroundDice: 0.7 } },
  })
})
