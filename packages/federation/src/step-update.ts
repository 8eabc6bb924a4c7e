import type { GradientOutcome, ModelLayout } from '@meshfl/core'
import { meanStatistics, sortedBySite, weightedMean } from './aggregate.js'
import type { JournalEntry } from './coordinator-store.js'

/**
 * The sites' gradients of a step as one machine has them that accumulates over the same volumes: the mean of their gradients,
 * weighted by volumes, and mean and variance of BatchNorm over all their voxels. Float64 in the order of site names, rounded once.
 */
export function combineSteps(
  layout: ModelLayout,
  entries: readonly Pick<JournalEntry, 'site' | 'model' | 'samples' | 'metrics'>[],
): Pick<GradientOutcome, 'gradients' | 'batchStatistics' | 'voxels'> {
  const sorted = sortedBySite(entries)
  const byVoxels = sorted.map(({ model, metrics }) => ({ model, samples: metrics.voxels! }))
  return {
    gradients: new Float32Array(weightedMean(sorted, ({ model }) => model.parameters)),
    batchStatistics: meanStatistics(layout, byVoxels, 'pooled'),
    voxels: byVoxels.reduce((sum, { samples }) => sum + samples, 0),
  }
}
