import { createRandom } from '@meshfl/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bcaInterval, drawnMeans, intervalOf } from './bca-interval.js'
import { sumBySubject } from './by-subject.js'
import { normalCdf, normalQuantile } from './normal-distribution.js'

/** The means of all n^n resamples: what the bootstrap draws from. */
function allMeans(values: readonly number[]): Float64Array {
  const n = values.length
  return Float64Array.from({ length: n ** n }, (_, index) => {
    let sum = 0
    for (let i = 0, rest = index; i < n; i++, rest = Math.floor(rest / n)) sum += values[rest % n]!
    return sum / n
  })
}

describe('the interval of a mean', () => {
  test('is that of all resamples, but for the noise of drawing some', () => {
    for (const values of [
      [0.91, 0.88, 0.9, 0.72, 0.85, 0.89],
      [0.1, 0.2, 0.15, 0.9, 0.12],
    ]) {
      const exact = intervalOf(sumBySubject(values), allMeans(values))
      const [low, high] = intervalOf(sumBySubject(values), drawnMeans(sumBySubject(values)))
      const width = exact[1] - exact[0]
      expect(Math.abs(low - exact[0])).toBeLessThan(0.04 * width)
      expect(Math.abs(high - exact[1])).toBeLessThan(0.04 * width)
    }
  })

  // SciPy 1.10.1: stats.bootstrap((x,), np.mean, method='BCa', n_resamples=200000, random_state=1)
  test('is that of SciPy for skewed values', () => {
    const [low, high] = bcaInterval([0.91, 0.88, 0.9, 0.72, 0.85, 0.89, 0.93, 0.61, 0.87, 0.9, 0.9, 0.84])!
    expect(Math.abs(low - 0.775)).toBeLessThan(0.004)
    expect(Math.abs(high - 0.88667)).toBeLessThan(0.002)
  })

  test('leans to the side of the long tail, unlike that of the percentiles', () => {
    const values = [0.95, 0.94, 0.95, 0.93, 0.96, 0.94, 0.4]
    const means = allMeans(values).sort()
    const [low, high] = intervalOf(sumBySubject(values), means)
    expect(low).toBeLessThan(means[Math.floor(0.025 * means.length)]!)
    expect(high).toBeLessThan(means[Math.floor(0.975 * means.length)]!)
  })

  test('holds the mean, lies within the values, and shrinks to a point where all are equal', () => {
    expect(bcaInterval(Array(12).fill(0.5))).toEqual([0.5, 0.5])
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 10, maxLength: 40 }), (values) => {
        const [low, high] = bcaInterval(values)!
        const mean = values.reduce((sum, x) => sum + x, 0) / values.length
        expect(low).toBeLessThanOrEqual(mean + 1e-12)
        expect(high).toBeGreaterThanOrEqual(mean - 1e-12)
        expect(low).toBeGreaterThanOrEqual(Math.min(...values) - 1e-12)
        expect(high).toBeLessThanOrEqual(Math.max(...values) + 1e-12)
        expect(bcaInterval(values)).toEqual([low, high])
      }),
      { numRuns: 60 },
    )
  })

  test('hardly changes where it is no longer drawn', () => {
    const values = Array.from({ length: 201 }, (_, i) => 0.9 - 0.2 * (i / 200) ** 3)
    const [drawn, computed] = [bcaInterval(values.slice(0, 200))!, bcaInterval(values)!]
    const width = computed[1] - computed[0]
    for (const end of [0, 1]) expect(Math.abs(drawn[end]! - computed[end]!)).toBeLessThan(0.06 * width)
  })

  test('holds the mean of ten normal values in about nine of ten trials, of forty in nearly 95 %', () => {
    const random = createRandom(7, 'coverage')
    for (const [n, least, most] of [
      [10, 0.85, 0.94],
      [40, 0.9, 0.98],
    ] as const) {
      const trials = 400
      let held = 0
      for (let i = 0; i < trials; i++) {
        const [low, high] = bcaInterval(Array.from({ length: n }, () => random.normal()))!
        if (low <= 0 && high >= 0) held++
      }
      expect(held / trials).toBeGreaterThan(least)
      expect(held / trials).toBeLessThan(most)
    }
  })

  test('is not given for fewer than ten subjects', () => {
    expect(bcaInterval([])).toBeNull()
    const nine = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    expect(bcaInterval(nine)).toBeNull()
    expect(bcaInterval([...nine, ...nine], [...nine, ...nine].map(String))).toBeNull()
  })
})

describe('the interval of a mean over several scans of some subjects', () => {
  const skewed = [0.91, 0.88, 0.9, 0.72, 0.85, 0.89, 0.93, 0.61, 0.87, 0.9, 0.9, 0.84]
  const many = Array.from({ length: 240 }, (_, i) => 0.9 - 0.2 * (i / 239) ** 3)
  const names = (values: readonly number[]): string[] => values.map((_, i) => `sub-${i}`)
  const twice = <T>(values: readonly T[]): T[] => [...values, ...values]

  // The numbers of commit 0d38a82, which took all cases for independent.
  test.each([
    ['drawn', skewed, [0.7741666666666668, 0.8874999999999998]],
    ['computed', many, [0.8425596991489867, 0.8570218908091739]],
  ])('is to the bit that of independent values with one scan a subject, where it is %s', (_, values, interval) => {
    expect(bcaInterval(values, names(values))).toEqual(interval)
    expect(bcaInterval(values)).toEqual(interval)
  })

  test.each([
    ['drawn', skewed],
    ['computed', many],
  ])('is no narrower for the same scans once more, where it is %s', (_, values) => {
    const once = bcaInterval(values)!
    const again = bcaInterval(twice(values), twice(names(values)))!
    for (const end of [0, 1]) expect(again[end]).toBeCloseTo(once[end]!, 12)
    const independent = bcaInterval(twice(values))!
    expect(independent[1] - independent[0]).toBeLessThan(0.8 * (once[1] - once[0]))
  })

  test('weighs each subject by its scans, as the mean over cases does', () => {
    const values = [...skewed, ...Array(24).fill(0.5)]
    const [low, high] = bcaInterval(values, [...names(skewed), ...Array(24).fill('sub-7')])!
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length
    expect(low).toBeLessThan(mean)
    expect(high).toBeGreaterThan(mean)
    // Without that subject the mean is above 0.8, and a third of all resamples are.
    expect(high).toBeGreaterThan(0.8)
    expect(low).toBeGreaterThanOrEqual(0.5)
  })

  test('holds the mean in nearly 95 % of trials, where one over cases that were taken for independent does not', () => {
    const random = createRandom(11, 'clustered-coverage')
    const trials = 200
    let held = 0
    let heldAsIndependent = 0
    for (let i = 0; i < trials; i++) {
      const values: number[] = []
      const subjects: string[] = []
      for (let subject = 0; subject < 30; subject++) {
        const own = random.normal()
        for (let scan = 0; scan <= subject % 4; scan++) {
          values.push(own + 0.3 * random.normal())
          subjects.push(`sub-${subject}`)
        }
      }
      const holds = (interval: readonly [number, number] | null): number =>
        interval![0] <= 0 && interval![1] >= 0 ? 1 : 0
      held += holds(bcaInterval(values, subjects))
      heldAsIndependent += holds(bcaInterval(values))
    }
    expect(held / trials).toBeGreaterThan(0.88)
    expect(heldAsIndependent / trials).toBeLessThan(0.85)
  })
})

describe('the normal distribution', () => {
  // Abramowitz and Stegun, Handbook of Mathematical Functions, table 26.1.
  test.each([
    [0, 0.5],
    [0.5, 0.691462461274013],
    [1, 0.841344746068543],
    [1.96, 0.97500210485178],
    [3, 0.99865010196837],
    [-2, 0.022750131948179],
  ])('is at most %d with probability %d', (x, p) => expect(normalCdf(x)).toBeCloseTo(p, 14))

  test('has a quantile that is the inverse of the probability', () => {
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 12)
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 1 - 1e-6, noNaN: true }), (p) => {
        expect(normalCdf(normalQuantile(p))).toBeCloseTo(p, 12)
      }),
    )
    expect([normalQuantile(0), normalQuantile(1)]).toEqual([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY])
    expect([normalCdf(-40), normalCdf(40), normalCdf(Number.NaN)]).toEqual([0, 1, Number.NaN])
  })
})
