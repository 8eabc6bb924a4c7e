import type { Metric } from './metric.js'

export const volumeError: Metric = {
  id: 'volumeErrorMl',
  name: 'Volume error',
  unit: 'mL',
  better: 'zero',
  definition: 'predicted minus true volume',
  of: ({ counts, voxelVolumeMl }) => (counts.falsePositives - counts.falseNegatives) * voxelVolumeMl,
}
