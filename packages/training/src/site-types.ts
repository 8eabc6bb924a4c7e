import type { Dice, ModelState } from '@meshfl/core'

// The federation declares the same shapes as its port; neither package imports the other.

/** One round of local training. */
export interface TrainTask {
  /** From 1. */
  round: number
  rounds: number
  /** Where the round starts; it is not changed. */
  model: ModelState
  /** What the previous `train` returned as `state`; null starts the optimiser anew. */
  state: Uint8Array | null
  signal: AbortSignal
  onStep(progress: StepProgress): void
}

export interface StepProgress {
  /** From 1. */
  step: number
  /** In this round. */
  steps: number
  loss: number
  learningRate: number
  seconds: number
}

export interface TrainOutcome {
  model: ModelState
  /** Training volumes. */
  samples: number
  /** The optimiser, as `encodeAdamState` writes it. */
  state: Uint8Array
  /** Mean loss over the volumes, Dice of all voxels seen, as the model was when it saw them. */
  metrics: { loss: number; dice: Dice; seconds: number }
}

export interface EvaluateTask {
  round: number
  model: ModelState
  signal: AbortSignal
}

/** Means over the validation cases; null where there are none. */
export interface EvaluateOutcome {
  cases: number
  loss: number | null
  dice: Dice
}
