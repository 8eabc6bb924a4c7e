import { type Metric, ratio } from './metric.js'

export const dice: Metric = {
  id: 'dice',
  name: 'Dice',
  unit: '',
  better: 'higher',
  definition: '2 TP / (2 TP + FP + FN)',
  of: ({ counts: { truePositives: tp, falsePositives: fp, falseNegatives: fn }, empty }) =>
    ratio(2 * tp, 2 * tp + fp + fn, empty),
}
