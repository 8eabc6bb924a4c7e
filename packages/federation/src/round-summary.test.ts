import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { createFakeTrainer, Loopback } from './loopback.fixture.js'
import { type SiteMetrics, type Summary, summarize, summarizeScores } from './round-summary.js'

const CLASSES = ['background', 'white matter', 'grey matter']
/** The Dice of each class in a case; null where it has none. */
type Case = (number | null)[]

const meanOf = (values: readonly (number | null)[]): number | null => {
  const present = values.filter((value) => value !== null)
  return present.length === 0 ? null : present.reduce((a, b) => a + b, 0) / present.length
}

/** What a machine has that scores these cases, as `meanOverCases` of the training package says it. */
function scored(site: string, cases: readonly Case[]): SiteMetrics & { casesPerClass: Record<string, number> } {
  const of = (i: number) => cases.map((one) => one[i]!).filter((value) => value !== null)
  const means = CLASSES.map((_, i) => meanOf(of(i)))
  return {
    ...{ site, weight: cases.length, loss: 0.5 },
    dice: {
      perClass: Object.fromEntries(CLASSES.map((name, i) => [name, means[i]!])),
      foregroundDice: meanOf(means.slice(1)),
    },
    casesPerClass: Object.fromEntries(CLASSES.map((name, i) => [name, of(i).length])),
  }
}

test('a class that is not in every case counts by the cases that have it', () => {
  const has = (white: number | null): Case => [1, white, null]
  const sites = [scored('A', [has(0.8), has(null), has(null), has(null)]), scored('B', [has(0.2)])]
  // (0.8 + 0.2) / 2
  expect(summarize(sites, 'background')).toMatchObject({
    cases: 5,
    dice: { perClass: { background: 1, 'white matter': 0.5, 'grey matter': null }, foregroundDice: 0.5 },
  })
  // Of the version before: (4 * 0.8 + 1 * 0.2) / 5
  const untold = sites.map(({ casesPerClass: _, ...site }) => site)
  expect(summarize(untold, 'background').dice.foregroundDice).toBeCloseTo(0.68, 12)
})

test('however cases are dealt to sites, their means are those of one machine that has them all', () => {
  const dice = fc.option(fc.float({ min: 0, max: 1, noNaN: true }), { nil: null })
  const cases = fc.array(fc.tuple(dice, dice, dice), { maxLength: 6 })
  fc.assert(
    fc.property(cases, cases, cases, (...dealt) => {
      const joined = summarize(
        dealt.map((own, i) => scored(`site-${i}`, own)),
        'background',
      )
      const one = scored('one', dealt.flat())
      const figures = ({ dice: { perClass, foregroundDice } }: Pick<Summary, 'dice'>) =>
        [...CLASSES.map((name) => perClass[name]!), foregroundDice].map((x) => (x === null ? x : expect.closeTo(x, 9)))
      const { perClass, foregroundDice } = joined.dice
      expect([...CLASSES.map((name) => perClass[name]), foregroundDice]).toEqual(figures(one))
    }),
  )
})

let loopback: Loopback
afterEach(() => loopback?.close())

test('sites tell how many of their cases have each class', async () => {
  loopback = new Loopback(2, { rounds: 1 })
  const coordinator = await loopback.start()
  const sites = [
    scored('site-1', [
      [1, 0.8, 0.5],
      [1, null, 0.5],
    ]),
    scored('site-2', [[1, 0.2, 0.5]]),
  ]
  for (const { site, weight, ...evaluation } of sites) {
    const evaluate = async () => ({ cases: weight, ...evaluation })
    loopback.join(site, { createTrainer: async () => ({ ...createFakeTrainer(site), evaluate }) })
  }
  await coordinator.finished
  const finished = loopback.events.find((event) => event.type === 'round-finished')
  expect(finished?.validDice).toEqual({
    perClass: { background: 1, 'white matter': 0.5, 'grey matter': 0.5 },
    foregroundDice: 0.5,
  })
})

function site(name: string, weight: number, loss: number | null, foregroundDice: number | null): SiteMetrics {
  return { site: name, weight, loss, dice: { perClass: { brain: foregroundDice }, foregroundDice } }
}

test('a site that cannot score a model counts with a Dice of 0: who claims a high one does not decide alone', () => {
  expect(summarizeScores([site('a', 3, null, null), site('b', 1, 0.5, 1)], 'background')).toEqual({
    cases: 4,
    loss: 0.5,
    dice: { perClass: { brain: 0.25 }, foregroundDice: 0.25 },
  })
})

test('a Dice that is sent without a loss is none', () => {
  expect(summarizeScores([site('a', 3, 0.5, 0.5), site('b', 1, null, 1)], 'background').dice.foregroundDice).toBe(0.375)
  expect(summarizeScores([site('b', 1, null, 1)], 'background')).toEqual({
    cases: 1,
    loss: null,
    dice: { perClass: {}, foregroundDice: null },
  })
})

test('a class that no scored case has is none that a site without a score missed', () => {
  const scores = { perClass: { white: 0.9, grey: null }, foregroundDice: 0.9 }
  const sites = [{ site: 'a', weight: 9, loss: 0.5, dice: scores }, site('b', 1, null, null)]
  expect(summarizeScores(sites, 'background').dice.foregroundDice).toBeCloseTo(0.81, 12)
})

test('a site without validation cases changes nothing', () => {
  expect(summarizeScores([site('a', 2, 0.5, 0.7), site('b', 0, null, null)], 'background')).toMatchObject({
    ...{ cases: 2, loss: 0.5, dice: { foregroundDice: 0.7 } },
  })
})
