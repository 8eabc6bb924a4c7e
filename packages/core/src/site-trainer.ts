import type { Dice } from './events.js'
import type { ModelState } from './model.js'
import type { Study } from './study.js'

/** One round of training at a site. */
export interface TrainTask {
  /** From 1. */
  round: number
  rounds: number
  /** Where the round starts; it is not changed. */
  model: ModelState
  /** What the previous `train` returned as `state`: the optimiser. Null starts it anew. */
  state: Uint8Array | null
  signal: AbortSignal
  onStep(progress: StepProgress): void
}

export interface StepProgress {
  /** From 1, in this round. */
  step: number
  steps: number
  loss: number
  learningRate: number
  seconds: number
  /** Of these, those in which the engine waited for the step's volumes. */
  dataSeconds?: number
}

export interface TrainOutcome {
  model: ModelState
  /** Training volumes: the site's weight in the average. */
  samples: number
  /** The optimiser: opaque to the federation, written atomically with the result and handed back in the next round. */
  state: Uint8Array
  /** Mean loss over the volumes, Dice of all voxels seen, as the model was when it saw them. */
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

/** The port through which a federation trains: neither it nor the training package knows the other. */
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
  /** One for each class, background first. */
  classNames: string[]
  labelMap: string
  voxelSizeMm: number
  /** How its volumes were conformed; the shape may differ between sites. */
  conform: NonNullable<Study['conform']>
  /** Of the engine that computes, for the record. */
  engine: string
  instructionSet: string
  /** `fp32` or `bf16`. */
  precision: string
}
