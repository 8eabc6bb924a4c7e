import type { GradientOutcome, ModelLayout } from '@meshfl/core'
import { type Contribution, meanStatistics, sortedBySite, weightedMean } from './aggregate.js'

/**
 * The sites' gradients of a step as one machine has them that accumulates over the same volumes: the mean of their gradients,
 * weighted by volumes, and mean and variance of BatchNorm over all their voxels. Float64 in the order of site names, rounded once.
 */
export function combineSteps(
  layout: ModelLayout,
  contributions: readonly (Contribution & { voxels: number })[],
): Pick<GradientOutcome, 'gradients' | 'batchStatistics' | 'voxels'> {
  const sorted = sortedBySite(contributions)
  const byVoxels = sorted.map(({ model, voxels }) => ({ model, samples: voxels }))
  return {
    gradients: new Float32Array(weightedMean(sorted, ({ model }) => model.parameters)),
    batchStatistics: meanStatistics(layout, byVoxels, 'pooled'),
    voxels: byVoxels.reduce((sum, { samples }) => sum + samples, 0),
  }
}
