import type { Dice } from './events.js'
import type { ModelState } from './model.js'
import type { Study } from './study.js'

/** What a strategy asks of the steps at a site. Vectors have one float a parameter. */
export type LocalRule =
  | { kind: 'plain' }
  /** FedProx: mu (w - w_t) is added to every gradient; w_t is the model that the round starts with. */
  | { kind: 'proximal'; mu: number }
  /** SCAFFOLD: c - c_i is added to every gradient; c is the coordinator's control variate, c_i the site's own. */
  | { kind: 'scaffold'; control: Float32Array }
  /** What the MeshFL reference does: one more Adam step, along this gradient, before the round. Null in the first. */
  | { kind: 'meshfl-reference'; gradient: Float32Array | null }

/** One round of training at a site. */
export interface TrainTask {
  /** From 1. */
  round: number
  rounds: number
  /** Where the round starts; it is not changed. */
  model: ModelState
  /** What the previous `train` returned as `state`: the optimiser. Null starts it anew. */
  state: Uint8Array | null
  /** Default: plain. */
  rule?: LocalRule
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
  /** What the rule answers with: scaffold, the new c_i; meshfl-reference, the gradient of the last batch. */
  vector?: Float32Array
}

/** One step of a federation that synchronises every step. */
export interface GradientTask {
  round: number
  /** From 1, in this round; the site has a batch for it. */
  step: number
  model: ModelState
  signal: AbortSignal
}

export interface GradientOutcome {
  /** Of the mean loss of the batch. */
  gradients: Float32Array
  /** Mean and biased variance of every BatchNorm over the batch, in the layout of the statistics. */
  batchStatistics: Float32Array
  /** Voxels that each mean was taken over. */
  voxels: number
  /** Volumes of the batch: its weight. */
  samples: number
  metrics: TrainOutcome['metrics']
}

/** The optimiser of a federation that synchronises every step. It runs at the coordinator. */
export interface StepOptimizer {
  /**
   * One step from a model; nothing given is changed.
   * @param update gradient, batch statistics and voxels of all sites together
   * @param state what the last step returned; null before the first
   * @param position steps before this one, of all rounds
   * @param total steps of all rounds
   */
  step(
    model: ModelState,
    update: Pick<GradientOutcome, 'gradients' | 'batchStatistics' | 'voxels'>,
    state: Uint8Array | null,
    position: number,
    total: number,
  ): { model: ModelState; state: Uint8Array }
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
  /** Cases that have each class, over which its Dice is a mean. */
  casesPerClass?: Record<string, number>
}

/** The port through which a federation trains: neither it nor the training package knows the other. */
export interface SiteTrainer {
  train(task: TrainTask): Promise<TrainOutcome>
  /** For a federation that synchronises every step; a trainer without it cannot take part in one. */
  gradient?(task: GradientTask): Promise<GradientOutcome>
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
  /** How its volumes were conformed; the shape may differ between sites, but with `sync: step`. */
  conform: NonNullable<Study['conform']>
  /** Of the engine that computes, for the record. */
  engine: string
  instructionSet: string
  /** `fp32` or `bf16`. */
  precision: string
  /** Of meshfl. */
  version?: string | undefined
  /** What was found when the dataset was prepared and is still to be looked at. */
  findings?: number | undefined
  /** Memory that a training step takes, and that the machine has, in bytes. */
  plannedBytes?: number | undefined
  memoryBytes?: number | undefined
}
