import type { MeshNetSpec } from '@meshfl/core'
import type { Grid } from '../engine.js'

export const WASM_ABI_VERSION = 1
export const PAGE_BYTES = 65536
/** What 32-bit addresses can reach. */
export const MOST_BYTES = 65536 * PAGE_BYTES
export const STACK_BYTES = 262144

/** What the kernels export. */
export interface Kernels {
  mfl_abi_version(): number
  mfl_request(): number
  mfl_cancel_flag(): number
  mfl_plan(start: number): number
  mfl_offset(region: number): number
  mfl_reset(): void
  mfl_run(thread: number): number
  __heap_base: WebAssembly.Global
  __stack_pointer: WebAssembly.Global
}

/** How a run ended. */
export const OUTCOME = { done: 0, cancelled: 1, badLabel: 2 } as const

const MODES = { forward: 0, evaluate: 1, train: 2 } as const
const NORMALIZATIONS = { batch: 0, instance: 1, none: 2 } as const
const ACTIVATIONS = { elu: 0, relu: 1, gelu: 2 } as const

/** In the order of the kernels' `Region`. */
const REGIONS = [
  'parameters',
  'statistics',
  'dropout',
  'loss',
  'images',
  'truth',
  'labels',
  'logits',
  'gradients',
  'batchStatistics',
  'score',
] as const
export type Offsets = Record<(typeof REGIONS)[number], number>

export interface Run {
  mode: keyof typeof MODES
  volumes: number
  floatImages: boolean
  logits: boolean
  /** Training: the output of every k-th block is kept. */
  keepEvery: number
}

/** Asks the kernels to lay out the memory for a run; returns the bytes it takes in all, which may be more than there can be. */
export function planRun(
  kernels: Kernels,
  memory: WebAssembly.Memory,
  spec: MeshNetSpec,
  grid: Grid,
  threads: number,
  run: Run,
): number {
  const words = [
    MODES[run.mode],
    spec.channels,
    spec.classes,
    spec.dilations.length,
    ACTIVATIONS[spec.activation],
    NORMALIZATIONS[spec.normalization],
    spec.convolutionBias ? 1 : 0,
    run.volumes,
    grid.depth,
    grid.height,
    grid.width,
    run.floatImages ? 1 : 0,
    run.logits ? 1 : 0,
    threads,
    run.keepEvery,
    ...spec.dilations,
  ]
  new Uint32Array(memory.buffer, kernels.mfl_request(), words.length).set(words)
  return kernels.mfl_plan(kernels.__heap_base.value + threads * STACK_BYTES)
}

/** Where the regions of the run planned last begin. */
export function plannedOffsets(kernels: Kernels): Offsets {
  return Object.fromEntries(REGIONS.map((name, region) => [name, kernels.mfl_offset(region)])) as Offsets
}
