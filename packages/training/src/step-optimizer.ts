import type { MeshNetSpec, Recipe, StepOptimizer } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { adamStep, createAdamState, decodeAdamState, encodeAdamState } from './adam.js'
import { oneCycle } from './one-cycle.js'
import { updateRunningStatistics } from './running-statistics.js'

/** The recipe's optimiser for a coordinator: Adam, the schedule and the running statistics, as one machine takes a step. */
export function createStepOptimizer(spec: MeshNetSpec, recipe: Recipe): StepOptimizer {
  const layout = modelLayout(spec)
  return {
    step(model, { gradients, batchStatistics, voxels }, state, position, total) {
      const parameters = model.parameters.slice()
      const statistics = model.statistics.slice()
      const adam = state === null ? createAdamState(parameters.length) : decodeAdamState(state, parameters.length)
      adamStep(parameters, gradients, adam, { ...recipe, ...oneCycle(position, total, recipe) })
      updateRunningStatistics(layout, statistics, batchStatistics, voxels)
      return { model: { parameters, statistics }, state: encodeAdamState(adam) }
    },
  }
}
