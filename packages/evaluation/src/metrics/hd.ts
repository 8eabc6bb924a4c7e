import type { Metric } from './metric.js'

export const hd: Metric = {
  id: 'hd',
  name: 'HD',
  unit: 'mm',
  better: 'lower',
  definition: 'Hausdorff distance: the largest distance from a point of either surface to the other surface',
  of: ({ surface }) => {
    if (!surface?.distances) return null
    const { fromTruth, fromPrediction } = surface.distances
    return Math.max(fromTruth.mm.at(-1)!, fromPrediction.mm.at(-1)!)
  },
}
