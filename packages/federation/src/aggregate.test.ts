import { modelSha256 } from '@meshfl/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { aggregate } from './aggregate.js'
import { LAYOUT, randomModel } from './loopback.fixture.js'

const contribution = (site: string, samples: number) => ({ site, samples, model: randomModel('update', site) })

test('one site passes through bit for bit, whatever its number of volumes', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 28 }), fc.integer(), (samples, seed) => {
      const model = randomModel('one', seed)
      for (const batchNorm of ['pooled', 'average'] as const)
        expect(modelSha256(aggregate(LAYOUT, [{ site: 'a', samples, model }], batchNorm))).toBe(modelSha256(model))
    }),
    { numRuns: 50 },
  )
})

test('100 orders of arrival give the same bits', () => {
  const sites = ['site-1', 'site-10', 'site-2', 'b', 'B', 'c'].map((site, i) => contribution(site, 3 * i + 1))
  const expected = modelSha256(aggregate(LAYOUT, sites, 'pooled'))
  const seen = new Set<string>()
  fc.assert(
    fc.property(fc.shuffledSubarray(sites, { minLength: sites.length }), (shuffled) => {
      seen.add(modelSha256(aggregate(LAYOUT, shuffled, 'pooled')))
    }),
    { numRuns: 100 },
  )
  expect([...seen]).toEqual([expected])
})

test.each([1, 2, 3, 4, 5, 7, 8, 9])('the sums of %i sites are those of adding one site after the other', (count) => {
  const sites = Array.from({ length: count }, (_, i) => contribution(`site-${i}`, 3 * i + 1))
  const total = sites.reduce((sum, { samples }) => sum + samples, 0)
  const expected = sites[0]!.model.parameters.map((_, at) => {
    let sum = 0
    for (const { samples, model } of sites) sum += samples * model.parameters[at]!
    return sum / total
  })
  expect(aggregate(LAYOUT, sites, 'pooled').parameters).toEqual(expected)
})

test('a site with three times the volumes has three times the weight', () => {
  const [a, b] = [contribution('a', 1), contribution('b', 3)]
  const { parameters } = aggregate(LAYOUT, [a, b], 'pooled')
  a.model.parameters.forEach((value, i) => {
    expect(parameters[i]).toBe(Math.fround((value + 3 * b.model.parameters[i]!) / 4))
  })
})

test('pooled statistics are the mean and variance of the union of the sites’ values', () => {
  // Two sites with values of their own; each tells mean and (biased) variance, as BatchNorm does.
  const values = [
    [1, 2, 4, 8],
    [-3, 0.5],
  ]
  const moments = (list: number[]): [number, number] => {
    const mean = list.reduce((sum, x) => sum + x, 0) / list.length
    return [mean, list.reduce((sum, x) => sum + (x - mean) ** 2, 0) / list.length]
  }
  const sites = values.map((list, i) => {
    const site = contribution(`site-${i}`, list.length)
    const [mean, variance] = moments(list)
    site.model.statistics.fill(mean, 0, 5).fill(variance, 5)
    return site
  })
  const [mean, variance] = moments(values.flat())
  const pooled = aggregate(LAYOUT, sites, 'pooled').statistics
  // Each site's moments were rounded to float32 (2^-24) before they came here.
  expect(pooled[0]).toBeCloseTo(mean, 6)
  expect(pooled[5]).toBeCloseTo(variance, 5)
  const average = aggregate(LAYOUT, sites, 'average').statistics
  expect(average[0]).toBe(pooled[0])
  expect(average[5]).toBeCloseTo((4 * moments(values[0]!)[1] + 2 * moments(values[1]!)[1]) / 6, 5)
})

test('every float is the correctly rounded float64 weighted mean', () => {
  const sites = ['a', 'b', 'c'].map((site, i) => contribution(site, [7, 2, 5][i]!))
  const { parameters } = aggregate(LAYOUT, sites, 'pooled')
  for (let i = 0; i < LAYOUT.parameterCount; i++) {
    const sum = sites.reduce((total, { model, samples }) => total + samples * model.parameters[i]!, 0)
    expect(parameters[i]).toBe(Math.fround(sum / 14))
  }
})
