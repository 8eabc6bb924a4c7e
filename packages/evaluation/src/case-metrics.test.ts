import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { evaluateCase, evaluateConfusion, worstFirst } from './case-metrics.js'
import { confusionOf } from './confusion.js'
import type { EmptyConvention } from './metrics/metric.js'
import { COUNT_METRICS } from './metrics/registry.js'
import { statisticOf, withInterval } from './statistics.js'

const measure = (truth: number[], prediction: number[], classNames: string[], empty?: EmptyConvention) =>
  evaluateCase({ subject: 's', truth, prediction, classNames, voxelVolumeMl: 0.008, empty })
const brain = ['background', 'brain']
const three = ['background', 'white matter', 'grey matter']

describe('the metrics of a case', () => {
  test('are those of the counts: 1 true positive, 1 missed, 2 extra, 4 right background', () => {
    const { brain: metrics } = measure([1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 1, 0, 0, 0, 0], brain).perClass
    expect(metrics).toEqual({
      dice: 2 / 5,
      jaccard: 1 / 4,
      sensitivity: 1 / 2,
      precision: 1 / 3,
      specificity: 4 / 6,
      volumetricSimilarity: 1 - 1 / 5,
      truthMl: 2 * 0.008,
      predictionMl: 3 * 0.008,
      volumeErrorMl: 0.008,
    })
  })

  test("the reference's three-label example has Dice 1, .8, .8", () => {
    // one voxel of label 2 of five is claimed for label 1 in each: 2 * 2 / (2 + 3) = .8
    const result = measure([0, 0, 1, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2, 2], three)
    expect(three.map((name) => result.perClass[name]?.dice)).toEqual([1, 0.8, 0.8])
    expect(result.foregroundDice).toBeCloseTo(0.8, 12)
    expect(result.meshflDice).toBeCloseTo((1 + 0.8 + 0.8) / 3, 12)
  })

  test.each([
    ['nan', null],
    ['one', 1],
    ['zero', 0],
  ] as const)('under the convention %s, a class in neither volume has Dice %s', (empty, dice) => {
    const result = measure([0, 1], [0, 1], three, empty)
    expect(result.perClass['grey matter']?.dice).toBe(dice)
    expect(result.foregroundDice).toBe(dice === null ? 1 : (1 + dice) / 2)
    expect(result.meshflDice).toBeCloseTo(2 / 3, 12) // the reference counts it 0, whatever the convention
  })

  test('a class that is only missed has sensitivity 0, and no precision', () => {
    const { brain: metrics } = measure([1, 0], [0, 0], brain).perClass
    expect(metrics).toMatchObject({ dice: 0, sensitivity: 0, precision: null })
  })

  test('ratios lie in 0..1, Jaccard is D / (2 - D), and swapping the volumes swaps sensitivity and precision', () => {
    const labels = fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 2 })), { minLength: 1 })
    fc.assert(
      fc.property(labels, (pairs) => {
        const [truth, prediction] = [pairs.map(([t]) => t), pairs.map(([, p]) => p)]
        const [there, back] = [measure(truth, prediction, three), measure(prediction, truth, three)]
        for (const name of three) {
          const [a, b] = [there.perClass[name]!, back.perClass[name]!]
          for (const { id, better } of COUNT_METRICS) {
            if (better !== 'higher' || a[id] === null) continue
            expect(a[id]).toBeGreaterThanOrEqual(0)
            expect(a[id]).toBeLessThanOrEqual(1)
          }
          expect(a.dice).toBe(b.dice)
          expect(a.sensitivity).toBe(b.precision)
          if (typeof a.dice === 'number') expect(a.jaccard).toBeCloseTo(a.dice / (2 - a.dice), 12)
          expect(a.truthMl! + a.volumeErrorMl!).toBeCloseTo(a.predictionMl!, 12)
        }
        expect(
          evaluateConfusion({
            subject: 's',
            classNames: three,
            voxelVolumeMl: 0.008,
            confusion: confusionOf(truth, prediction, 3),
          }),
        ).toEqual(there)
      }),
    )
  })

  test('cases come worst first, those without a Dice before all, equal ones by name', () => {
    const named = (subject: string, foregroundDice: number | null) => ({
      ...measure([0], [0], brain),
      subject,
      foregroundDice,
    })
    const cases = [named('b', 0.5), named('c', 0.2), named('a', 0.5), named('d', null)]
    expect(worstFirst(cases).map((one) => one.subject)).toEqual(['d', 'c', 'a', 'b'])
  })
})

describe('a number over cases', () => {
  test('is the mean, the sample deviation, the median and the extremes of what is there', () => {
    const result = statisticOf([2, null, 4, 4, 4, 5, 5, 7, 9])
    expect(result).toMatchObject({ cases: 8, leftOut: 1, mean: 5, median: 4.5, min: 2, max: 9 })
    expect(result.sd).toBeCloseTo(Math.sqrt(32 / 7), 12)
  })

  test('of one case has no deviation and no interval', () => {
    const of = { mean: 0.5, sd: null, median: 0.5, min: 0.5, max: 0.5, ci95: null }
    expect(withInterval([0.5])).toEqual({ cases: 1, leftOut: 0, ...of })
  })
})
