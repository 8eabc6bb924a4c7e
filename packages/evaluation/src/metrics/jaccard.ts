import { type Metric, ratio } from './metric.js'

export const jaccard: Metric = {
  id: 'jaccard',
  name: 'Jaccard',
  unit: '',
  better: 'higher',
  definition: 'TP / (TP + FP + FN)',
  of: ({ counts: { truePositives: tp, falsePositives: fp, falseNegatives: fn }, empty }) =>
    ratio(tp, tp + fp + fn, empty),
}
