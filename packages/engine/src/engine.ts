import type { MeshNetSpec, ModelState } from '@meshfl/core'

/** Voxels along (D, H, W), W fastest in memory. A NIfTI volume of nx, ny, nz voxels is the grid { depth: nz, height: ny, width: nx }. */
export interface Grid {
  depth: number
  height: number
  width: number
}

/** What a person would call the thing that computes. */
export interface DeviceInfo {
  /** For example `AMD EPYC 9454, 2 threads`. */
  name: string
  /** The instruction set that the kernels use: `simd128`, `relaxed-simd`, `avx512`, `avx512-bf16`, `sm_90`. Bits are equal only between equal ones. */
  instructionSet: string
  /** Bytes that a session may plan with; of a GPU, what was free when the engine was opened. */
  memoryBytes: number
}

/** What tensors hold and convolutions multiply; sums, parameters and all that crosses this interface are fp32. */
export type Precision = 'fp32' | 'bf16'

export interface SessionOptions {
  /** Default: the engine's. */
  precision?: Precision
  /** What the session is planned for: it is refused when that does not fit. Default: training steps. */
  purpose?: 'train' | 'predict'
  /** Volumes of the largest batch that it is planned for; default: 1. */
  batchSize?: number
  /**
   * What a training step computes again to save memory, to the same bits. `none`: nothing. `auto`, the default: as few layers as let it
   * fit. `layer`: as many as save memory.
   */
  checkpointing?: 'none' | 'auto' | 'layer'
  /** Most bytes that the session's buffers may take; default: what the machine, or its addresses, have. */
  maxMemoryBytes?: number
  /** Default: the machine's cores. The result's bits do not depend on it. */
  threads?: number
}

/** What an engine's sessions are made with when they do not say otherwise. */
export type SessionDefaults = Pick<SessionOptions, 'threads' | 'precision' | 'checkpointing' | 'maxMemoryBytes'>

/** What a session's buffers take. */
export interface MemoryPlan {
  /** Bytes of the session's buffers when what it was planned for runs. */
  plannedBytes: number
  /** Most bytes that they may take. */
  limitBytes: number
  /** Most bytes held so far. */
  peakBytes: number
  /** Blocks whose output a training step does not keep but computes again. */
  recomputedBlocks: number[]
}

/** N >= 1 volumes of the session's grid, (N, D, H, W). Bytes are divided by 255; floats are taken as they are. */
export interface Batch {
  images: Uint8Array | Float32Array
  count: number
  /**
   * 1 to 2^32 - 1: names these images and their labels for as long as the session lives, so that a GPU may keep them between epochs
   * instead of reading them again. The caller never gives one key to other values. Without it nothing is kept.
   */
  key?: number
}

/** Weighted cross-entropy with label smoothing, as torch.nn.CrossEntropyLoss(weight, label_smoothing, reduction='mean') defines it. */
export interface LossSpec {
  classWeights: readonly number[]
  labelSmoothing: number
}

export interface Segmentation {
  /** (N, D, H, W): the class with the largest logit, the lowest of equal ones. */
  labels: Uint8Array
  /** (N, classes, D, H, W), when asked for. */
  logits?: Float32Array
}

/** Voxels by (truth, prediction): `counts[truth * classes + prediction]`. */
export interface Confusion {
  classes: number
  counts: Float64Array
}

export interface Scored {
  loss: number
  confusion: Confusion
}

export interface Step extends Scored {
  /** Of the loss by the parameters, in their layout. */
  gradients: Float32Array
  /** Of this batch, in the layout of the model's statistics: mean, and biased variance, of every BatchNorm. Empty without BatchNorm. */
  batchStatistics: Float32Array
  /** Voxels that each mean was taken over: N * D * H * W. */
  statisticSamples: number
}

export interface ForwardOptions {
  signal?: AbortSignal
  logits?: boolean
}

export interface StepOptions {
  signal?: AbortSignal
  /** Chooses the channels that dropout drops. */
  seed: number
}

/** Owns the buffers for one model on one grid. Calls are queued: one runs at a time. */
export interface Session {
  readonly grid: Grid
  readonly memory: MemoryPlan
  /** Evaluation mode: BatchNorm uses the model's running statistics. */
  forward(model: ModelState, batch: Batch, options?: ForwardOptions): Promise<Segmentation>
  /** Evaluation mode, scored against the truth: labels (N, D, H, W). */
  evaluate(
    model: ModelState,
    batch: Batch,
    labels: Uint8Array,
    loss: LossSpec,
    options?: { signal?: AbortSignal },
  ): Promise<Scored>
  /** Training mode: BatchNorm uses the batch's own statistics. Only 'batch' and 'none' normalisation train. */
  forwardBackward(
    model: ModelState,
    batch: Batch,
    labels: Uint8Array,
    loss: LossSpec,
    options: StepOptions,
  ): Promise<Step>
  dispose(): void
}

/** All heavy work: a pure function of parameters and volume. */
export interface Engine {
  readonly name: 'cuda' | 'cpu' | 'wasm'
  readonly device: DeviceInfo
  /** Default of its sessions, and what `device.instructionSet` is for. */
  readonly precision: Precision
  /** @throws MeshflError `ENGINE_MEMORY` when the grid does not fit, `MODEL_UNSUPPORTED` when the engine cannot compute the spec, or not in the precision */
  createSession(spec: MeshNetSpec, grid: Grid, options?: SessionOptions): Promise<Session>
}
