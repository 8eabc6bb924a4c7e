import type { Recipe } from '@meshfl/core'

/** What the schedule gives the optimiser in one step. */
export interface SchedulePoint {
  learningRate: number
  /** Adam's beta1: it falls while the learning rate rises, and rises while it falls. */
  beta1: number
}

export type ScheduleRecipe = Pick<
  Recipe,
  'maxLearningRate' | 'warmupFraction' | 'initialDivisor' | 'finalDivisor' | 'anneal' | 'baseMomentum' | 'maxMomentum'
>

/**
 * The one-cycle policy as torch.optim.lr_scheduler.OneCycleLR (two phases, cycle_momentum) computes it: a pure function of the
 * step, so it needs no state and survives a restart.
 * @param step from 0 to totalSteps - 1
 * @param totalSteps > 0; the first phase ends at step `warmupFraction * totalSteps - 1`, which need not be whole
 * @throws RangeError when the step is outside the schedule
 */
export function oneCycle(step: number, totalSteps: number, recipe: ScheduleRecipe): SchedulePoint {
  if (!(step >= 0 && step < totalSteps))
    throw new RangeError(`step ${step} is outside a schedule of ${totalSteps} steps`)
  const initial = recipe.maxLearningRate / recipe.initialDivisor
  const final = initial / recipe.finalDivisor
  const peak = recipe.warmupFraction * totalSteps - 1
  const move = recipe.anneal === 'linear' ? linear : cosine
  if (step <= peak) {
    // PyTorch divides by zero when the warm-up is exactly one step; that step is the peak.
    const part = peak === 0 ? 1 : step / peak
    return {
      learningRate: move(initial, recipe.maxLearningRate, part),
      beta1: move(recipe.maxMomentum, recipe.baseMomentum, part),
    }
  }
  const part = (step - peak) / (totalSteps - 1 - peak)
  return {
    learningRate: move(recipe.maxLearningRate, final, part),
    beta1: move(recipe.baseMomentum, recipe.maxMomentum, part),
  }
}

function linear(start: number, end: number, part: number): number {
  return (end - start) * part + start
}

function cosine(start: number, end: number, part: number): number {
  return end + ((start - end) / 2) * (Math.cos(Math.PI * part) + 1)
}
