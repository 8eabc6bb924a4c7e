import type { Distances } from '../surface/surface-distances.js'
import type { Metric } from './metric.js'

export const assd: Metric = {
  id: 'assd',
  name: 'ASSD',
  unit: 'mm',
  better: 'lower',
  definition:
    'Average symmetric surface distance: the mean distance from all points of both surfaces to the other surface',
  of: ({ surface }) => {
    if (!surface?.distances) return null
    const { fromTruth, fromPrediction } = surface.distances
    return (sum(fromTruth) + sum(fromPrediction)) / (fromTruth.total + fromPrediction.total)
  },
}

function sum({ mm, weights }: Distances): number {
  return mm.reduce((all, distance, i) => all + distance * weights[i]!, 0)
}
