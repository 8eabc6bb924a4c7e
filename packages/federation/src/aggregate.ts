import type { ModelLayout, ModelState } from '@meshfl/core'
import { elementCount } from '@meshfl/core'

/** What one site adds to a round. */
export interface Contribution {
  site: string
  model: ModelState
  /** Training volumes: its weight. */
  samples: number
}

/**
 * The next global model. Contributions are sorted by site name, weighted by their volumes and summed in float64, divided once and
 * rounded to float32 once: independent of the order of arrival, and exactly the site's own floats when there is one.
 * @param batchNorm `pooled`: running mean and variance of the union of the sites' volumes; `average`: weighted means of both
 */
export function aggregate(
  layout: ModelLayout,
  contributions: readonly Contribution[],
  batchNorm: 'pooled' | 'average',
): ModelState {
  const sorted = [...contributions].sort((a, b) => (a.site < b.site ? -1 : a.site > b.site ? 1 : 0))
  const total = sorted.reduce((sum, { samples }) => sum + samples, 0)
  if (!(total > 0)) throw new RangeError('a round without training volumes')
  const mean = (pick: (model: ModelState) => Float32Array, length: number): Float64Array => {
    const sums = new Float64Array(length)
    for (const { model, samples } of sorted) {
      const values = pick(model)
      for (let i = 0; i < length; i++) sums[i]! += samples * values[i]!
    }
    for (let i = 0; i < length; i++) sums[i]! /= total
    return sums
  }
  const parameters = Float32Array.from(mean((model) => model.parameters, layout.parameterCount))
  const statistics = mean((model) => model.statistics, layout.statisticCount)
  if (batchNorm === 'pooled') {
    for (const [means, variances, length] of batchNormPairs(layout)) {
      for (let i = 0; i < length; i++) {
        let sum = 0
        for (const { model, samples } of sorted) {
          const apart = model.statistics[means + i]! - statistics[means + i]!
          sum += samples * (model.statistics[variances + i]! + apart * apart)
        }
        statistics[variances + i] = sum / total
      }
    }
  }
  return { parameters, statistics: Float32Array.from(statistics) }
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
