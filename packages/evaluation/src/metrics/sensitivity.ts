import { type Metric, ratio } from './metric.js'

export const sensitivity: Metric = {
  id: 'sensitivity',
  name: 'Sensitivity',
  unit: '',
  better: 'higher',
  definition: 'TP / (TP + FN): the part of the truth that was found',
  of: ({ counts: { truePositives: tp, falseNegatives: fn }, empty }) => ratio(tp, tp + fn, empty),
}
