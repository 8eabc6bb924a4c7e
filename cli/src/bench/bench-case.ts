/** What is computed: a forward pass, or a training step (forward, loss, backward). */
export type BenchTask = 'forward' | 'step'
export type BenchDevice = 'cuda' | 'cpu' | 'wasm'

/** What is asked for: every combination of these is a case. */
export interface BenchPlan {
  tasks: readonly BenchTask[]
  devices: readonly BenchDevice[]
  precisions: readonly ('fp32' | 'bf16')[]
  /** Edges of cubes, in voxels. */
  grids: readonly number[]
  channels: readonly number[]
  /** Bytes that a step may take; null: whatever there is. */
  memoryLimits: readonly (number | null)[]
  threads: number
  repeats: number
  peers: boolean
}

/** One figure: of an engine of ours, or of a peer. */
export interface BenchResult {
  type: 'bench'
  case: BenchTask
  engine: string
  precision: 'fp32' | 'bf16'
  grid: [number, number, number]
  channels: number
  threads: number
  /** Of our engines. */
  instructionSet?: string
  /** Bytes that the step was allowed, where it was told. */
  maxMemoryBytes?: number
  /** `layer`: a peer's checkpoint a layer. */
  checkpointing?: 'layer'
  /** Why there is no figure. */
  skipped?: string
  medianSeconds?: number
  /** Fastest and slowest run. */
  spread?: [number, number]
  runs?: number
  peakBytes?: number
  /** Where `peakBytes` comes from: the session's plan, or the resident memory of the process. */
  memory?: 'plan' | 'rss'
  /** Multiplications and additions of a direct convolution in 1e9 a second, of the median; layers computed again do not count. */
  gflops?: number
  /** `gflops` over the machine's multiply-adds as measured in the same run. */
  shareOfPeak?: number
}

/** Floating-point operations, a multiplication and an addition each, of a direct convolution; kernels may do fewer. */
export function flopsOf(task: BenchTask, edge: number, channels: number): number {
  const blocks = 9
  const classes = 3
  const forward = 2 * edge ** 3 * (27 * channels * (1 + channels * (blocks - 1)) + classes * channels)
  return task === 'step' ? 3 * forward : forward
}
