import { type Metric, ratio } from './metric.js'

export const specificity: Metric = {
  id: 'specificity',
  name: 'Specificity',
  unit: '',
  better: 'higher',
  definition: 'TN / (TN + FP): the part of all else that was left alone',
  of: ({ counts: { trueNegatives: tn, falsePositives: fp }, empty }) => ratio(tn, tn + fp, empty),
}
