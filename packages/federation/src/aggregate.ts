import type { Federation, ModelLayout, ModelState } from '@meshfl/core'
import { elementCount } from '@meshfl/core'

/** What one site adds to a round. */
export interface Contribution {
  site: string
  model: ModelState
  /** Training volumes: its weight. */
  samples: number
  /** What some strategies ask for beside the model: one float a parameter. */
  vector?: Float32Array
}

/** A round's contributions in the order in which they are summed: by site name. */
export function sortedBySite<T extends { site: string }>(contributions: readonly T[]): T[] {
  return [...contributions].sort((a, b) => (a.site < b.site ? -1 : a.site > b.site ? 1 : 0))
}

/**
 * The mean of the updates: sorted by site name, weighted by their volumes and summed in float64, divided once and rounded to
 * float32 once: independent of the order of arrival, and exactly the site's own floats when there is one.
 */
export function aggregate(
  layout: ModelLayout,
  contributions: readonly Contribution[],
  batchNorm: Federation['batchNorm'],
): ModelState {
  const sorted = sortedBySite(contributions)
  const parameters = new Float32Array(weightedMean(sorted, ({ model }) => model.parameters))
  return { parameters, statistics: meanStatistics(layout, sorted, batchNorm) }
}

/** The mean of one array of each contribution, weighted by volumes and summed in their order, in float64. */
export function weightedMean<T extends { samples: number }>(
  contributions: readonly T[],
  pick: (contribution: T) => Float32Array,
): Float64Array {
  const total = contributions.reduce((sum, { samples }) => sum + samples, 0)
  if (!(total > 0)) throw new RangeError('a round without training volumes')
  const sums = weightedSum(pick(contributions[0]!).length, contributions, pick)
  for (let i = 0; i < sums.length; i++) sums[i]! /= total
  return sums
}

/** The sum of one array of each, times its volumes, in their order, in float64. */
export function weightedSum<T extends { samples: number }>(
  length: number,
  contributions: readonly T[],
  pick: (contribution: T) => Float32Array,
): Float64Array {
  const sums = new Float64Array(length)
  const four = contributions.length - (contributions.length % 4)
  for (let i = 0; i < four; i += 4) addFour(sums, contributions.slice(i, i + 4), pick)
  for (const contribution of contributions.slice(four)) addWeighted(sums, pick(contribution), contribution.samples)
  return sums
}

/** A function of its own: the compiler then knows what the arrays are, and makes no object of a number. */
function addWeighted(sums: Float64Array, values: Float32Array, weight: number): void {
  for (let i = 0; i < sums.length; i++) sums[i]! += weight * values[i]!
}

/** The same of four, one after the other: with thousands, reading and writing the sums takes longer than adding to them. */
function addFour<T extends { samples: number }>(
  sums: Float64Array,
  contributions: readonly T[],
  pick: (contribution: T) => Float32Array,
): void {
  const [a, b, c, d] = contributions.map(pick) as [Float32Array, Float32Array, Float32Array, Float32Array]
  const [wa, wb, wc, wd] = contributions.map(({ samples }) => samples) as [number, number, number, number]
  for (let i = 0; i < sums.length; i++) sums[i] = sums[i]! + wa * a[i]! + wb * b[i]! + wc * c[i]! + wd * d[i]!
}

/**
 * BatchNorm's running statistics of the global model.
 * @param batchNorm `pooled`, `local`: mean and variance of the union of the sites' volumes; `average`: weighted means of both
 */
export function meanStatistics(
  layout: ModelLayout,
  contributions: readonly Omit<Contribution, 'site'>[],
  batchNorm: Federation['batchNorm'],
): Float32Array {
  const statistics = weightedMean(contributions, ({ model }) => model.statistics)
  if (batchNorm !== 'average') {
    const total = contributions.reduce((sum, { samples }) => sum + samples, 0)
    for (const [means, variances, length] of batchNormPairs(layout)) {
      const sums = new Float64Array(length)
      const mean = statistics.subarray(means, means + length)
      for (const { model, samples } of contributions) addSpread(sums, mean, model.statistics, means, variances, samples)
      for (let i = 0; i < length; i++) statistics[variances + i] = sums[i]! / total
    }
  }
  return new Float32Array(statistics)
}

function addSpread(
  sums: Float64Array,
  mean: Float64Array,
  site: Float32Array,
  means: number,
  variances: number,
  weight: number,
): void {
  for (let i = 0; i < sums.length; i++) {
    const apart = site[means + i]! - mean[i]!
    sums[i]! += weight * (site[variances + i]! + apart * apart)
  }
}

/** Offsets of every running mean and its running variance, and their length. */
function batchNormPairs(layout: ModelLayout): [number, number, number][] {
  const offsets = new Map(layout.statistics.map((entry) => [entry.name, entry]))
  return layout.statistics.flatMap(({ name, shape, offset }): [number, number, number][] => {
    if (!name.endsWith('running_mean')) return []
    const variance = offsets.get(name.replace(/running_mean$/, 'running_var'))
    return variance ? [[offset, variance.offset, elementCount(shape)]] : []
  })
}
