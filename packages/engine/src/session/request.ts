import type { MeshNetSpec } from '@meshfl/core'
import type { Grid } from '../engine.js'

/** How a run ended: the first of the C ABI's `mfl_status`, the same in WebAssembly. */
export const OUTCOME = { done: 0, cancelled: 1, badLabel: 2 } as const

export const MODES = { forward: 0, evaluate: 1, train: 2 } as const
export const PRECISIONS = { fp32: 0, bf16: 1 } as const
export const NORMALIZATIONS = { batch: 0, instance: 1, none: 2 } as const
export const ACTIVATIONS = { elu: 0, relu: 1, gelu: 2 } as const

/** What a run reads and gives, in the order of the kernels' regions. */
export const REGIONS = [
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
export type Region = (typeof REGIONS)[number]

export interface Run {
  mode: keyof typeof MODES
  volumes: number
  floatImages: boolean
  logits: boolean
  precision: keyof typeof PRECISIONS
  /** Training: the blocks whose outputs are kept until the way back; the last is one of them. */
  keptBlocks: readonly number[]
}

/** The words of a request before its dilations, in the kernels' order. */
export const REQUEST_WORDS = [
  'mode',
  'channels',
  'classes',
  'blocks',
  'activation',
  'normalization',
  'convolutionBias',
  'volumes',
  'depth',
  'height',
  'width',
  'floatImages',
  'wantLogits',
  'precision',
  'threads',
  'keptLow',
  'keptHigh',
] as const
/** Of a request with every dilation that there can be. */
export const REQUEST_BYTES = 4 * (REQUEST_WORDS.length + 64)
type RequestWord = (typeof REQUEST_WORDS)[number]

/** A bit for every block from `first` on that is in the list. */
const bits = (blocks: readonly number[], first: number): number =>
  blocks.reduce((word, block) => (block >= first && block < first + 32 ? word | (1 << (block - first)) : word), 0) >>> 0

/** A run as the kernels read it. */
export function requestWords(spec: MeshNetSpec, grid: Grid, threads: number, run: Run): Uint32Array {
  const words: Record<RequestWord, number> = {
    mode: MODES[run.mode],
    channels: spec.channels,
    classes: spec.classes,
    blocks: spec.dilations.length,
    activation: ACTIVATIONS[spec.activation],
    normalization: NORMALIZATIONS[spec.normalization],
    convolutionBias: spec.convolutionBias ? 1 : 0,
    volumes: run.volumes,
    depth: grid.depth,
    height: grid.height,
    width: grid.width,
    floatImages: run.floatImages ? 1 : 0,
    wantLogits: run.logits ? 1 : 0,
    precision: PRECISIONS[run.precision],
    threads,
    keptLow: bits(run.keptBlocks, 0),
    keptHigh: bits(run.keptBlocks, 32),
  }
  return Uint32Array.from([...REQUEST_WORDS.map((word) => words[word]), ...spec.dilations])
}
