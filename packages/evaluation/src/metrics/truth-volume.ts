import type { Metric } from './metric.js'

export const truthVolume: Metric = {
  id: 'truthMl',
  name: 'True volume',
  unit: 'mL',
  better: 'neither',
  definition: '(TP + FN) x volume of a voxel',
  of: ({ counts, voxelVolumeMl }) => (counts.truePositives + counts.falseNegatives) * voxelVolumeMl,
}
