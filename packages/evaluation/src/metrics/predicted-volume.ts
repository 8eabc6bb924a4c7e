import type { Metric } from './metric.js'

export const predictedVolume: Metric = {
  id: 'predictionMl',
  name: 'Predicted volume',
  unit: 'mL',
  better: 'neither',
  definition: '(TP + FP) x volume of a voxel',
  of: ({ counts, voxelVolumeMl }) => (counts.truePositives + counts.falsePositives) * voxelVolumeMl,
}
