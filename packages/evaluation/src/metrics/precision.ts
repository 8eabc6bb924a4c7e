import { type Metric, ratio } from './metric.js'

export const precision: Metric = {
  id: 'precision',
  name: 'Precision',
  unit: '',
  better: 'higher',
  definition: 'TP / (TP + FP): the part of the prediction that is right',
  of: ({ counts: { truePositives: tp, falsePositives: fp }, empty }) => ratio(tp, tp + fp, empty),
}
