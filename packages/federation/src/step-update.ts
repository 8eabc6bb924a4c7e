import type { GradientOutcome, ModelLayout, StepOptimizer } from '@meshfl/core'
import { type Contribution, meanStatistics, sortedBySite, weightedMean } from './aggregate.js'
import type { RoundOutput } from './strategies/strategy.js'

interface StepInput {
  readonly layout: ModelLayout
  readonly optimizer: StepOptimizer
  /** What the step before left. */
  readonly begun: RoundOutput
  readonly contributions: readonly (Contribution & { voxels: number })[]
  /** Steps before this one, and steps of all rounds. */
  readonly position: number
  readonly total: number
}

/** One step of all sites. Without an update nothing changes, Adam's moments neither: a gradient of zeros would move the model. */
export function takeStep({ layout, optimizer, begun, contributions, position, total }: StepInput): RoundOutput {
  if (contributions.length === 0) return begun
  return optimizer.step(begun.model, combineSteps(layout, contributions), begun.state, position, total)
}

/**
 * The sites' gradients of a step as one machine has them that accumulates over the same volumes: the mean of their gradients,
 * weighted by volumes, and mean and variance of BatchNorm over all their voxels. Float64 in the order of site names, rounded once.
 */
function combineSteps(
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
