import type { Dice, ModelState } from '@meshfl/core'

/** What a coordinator asks a site to train. */
export interface TrainTask {
  /** From 1. */
  round: number
  rounds: number
  model: ModelState
  /** What the site's previous `train` returned as `state`: its optimiser. Null in its first round. */
  state: Uint8Array | null
  signal: AbortSignal
  onStep(progress: StepProgress): void
}

export interface StepProgress {
  /** From 1. */
  step: number
  steps: number
  loss: number
  learningRate: number
  seconds: number
}

export interface TrainOutcome {
  model: ModelState
  /** Training volumes: the weight of this site in the average. */
  samples: number
  /** Opaque to the federation; written atomically with the result and handed back in the next round. */
  state: Uint8Array
  metrics: { loss: number; dice: Dice; seconds: number }
}

export interface EvaluateTask {
  round: number
  model: ModelState
  signal: AbortSignal
}

/** Means over the site's validation cases; null where it has none. */
export interface EvaluateOutcome {
  cases: number
  loss: number | null
  dice: Dice
}

/** The port through which the federation trains: the CLI composes it from the training package. */
export interface SiteTrainer {
  train(task: TrainTask): Promise<TrainOutcome>
  evaluate(task: EvaluateTask): Promise<EvaluateOutcome>
}

/** What a site says of itself when it joins; the coordinator checks it against the study. */
export interface SiteDescription {
  /** The dataset's name for it, for example `site-1`. */
  site: string
  trainCases: number
  validCases: number
  classes: number
  labelMap: string
  voxelSizeMm: number
  /** Of the engine that computes, for the record. */
  engine: string
  instructionSet: string
}
