import type { Distances } from '../surface/surface-distances.js'
import type { Metric } from './metric.js'

export const hd95: Metric = {
  id: 'hd95',
  name: 'HD95',
  unit: 'mm',
  better: 'lower',
  definition: 'The larger one of the 95th percentiles of the distances from each surface to the other',
  of: ({ surface }) => {
    if (!surface?.distances) return null
    const { fromTruth, fromPrediction } = surface.distances
    const percentile = surface.convention.kind === 'surfel' ? areaPercentile : pointPercentile
    return Math.max(percentile(fromTruth, 0.95), percentile(fromPrediction, 0.95))
  },
}

/** Of DeepMind's surface-distance: the least distance up to which that part of the area lies. */
function areaPercentile(distances: Distances, part: number): number {
  return distanceAt(distances, (sum) => sum / distances.total >= part)
}

/** Of numpy and PyTorch, and so of MONAI and MetricsReloaded: between two points in order, on the line between their distances. */
function pointPercentile(distances: Distances, part: number): number {
  const rank = part * (distances.total - 1)
  const below = distanceAt(distances, (count) => count > Math.floor(rank))
  const above = distanceAt(distances, (count) => count > Math.ceil(rank))
  return below + (above - below) * (rank - Math.floor(rank))
}

/** The first distance whose weight, and that of all below it, is enough; the last where rounding leaves the sum of all below it. */
function distanceAt({ mm, weights }: Distances, isEnough: (sum: number) => boolean): number {
  let sum = 0
  const index = weights.findIndex((weight) => {
    sum += weight
    return isEnough(sum)
  })
  return mm.at(index)!
}
