import { type Distances, isUpTo } from '../surface/surface-distances.js'
import { type Metric, ratio } from './metric.js'

export const nsd: Metric = {
  id: 'nsd',
  name: 'NSD',
  unit: '',
  better: 'higher',
  definition:
    'Normalized surface Dice: the part of both surfaces that lies no further than the tolerance from the other',
  of: ({ surface, counts: { truePositives: tp, falsePositives: fp, falseNegatives: fn }, empty }) => {
    if (!surface) return null
    // Of a surface that is in one volume only, nothing lies near the other.
    if (!surface.distances) return ratio(0, tp + fp + fn, empty)
    const { fromTruth, fromPrediction } = surface.distances
    const within = (one: Distances): number => sumUpTo(one, surface.convention.toleranceMm)
    return (within(fromTruth) + within(fromPrediction)) / (fromTruth.total + fromPrediction.total)
  },
}

function sumUpTo({ mm, weights }: Distances, tolerance: number): number {
  return weights.reduce((sum, weight, i) => (isUpTo(mm[i]!, tolerance) ? sum + weight : sum), 0)
}
