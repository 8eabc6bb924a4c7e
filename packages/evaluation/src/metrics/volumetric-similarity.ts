import { type Metric, ratio } from './metric.js'

export const volumetricSimilarity: Metric = {
  id: 'volumetricSimilarity',
  name: 'Volumetric similarity',
  unit: '',
  better: 'higher',
  definition: '1 - |FN - FP| / (2 TP + FP + FN): 1 when both volumes are equally large, wherever they lie',
  of: ({ counts: { truePositives: tp, falsePositives: fp, falseNegatives: fn }, empty }) => {
    const size = 2 * tp + fp + fn
    return ratio(size - Math.abs(fn - fp), size, empty)
  },
}
