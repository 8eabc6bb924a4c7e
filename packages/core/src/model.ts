import { createHash } from 'node:crypto'
import { bytesOf } from './hash.js'

/** One tensor of a model inside its flat array: offsets and lengths count floats. */
export interface TensorEntry {
  /** The PyTorch `state_dict` key, for example `model.0.0.weight`. */
  name: string
  shape: readonly number[]
  offset: number
}

/**
 * Where every tensor of a model lies in the two flat arrays that cross every boundary: `parameters` (learned) and
 * `statistics` (running mean and variance of BatchNorm), each in `state_dict` order.
 */
export interface ModelLayout {
  parameters: readonly TensorEntry[]
  statistics: readonly TensorEntry[]
  parameterCount: number
  statisticCount: number
  /** SHA-256 of the layout's canonical JSON: two ends with the same value mean the same floats. */
  sha256: string
}

/** The values of a model: little-endian float32, laid out by a ModelLayout. */
export interface ModelState {
  parameters: Float32Array
  statistics: Float32Array
}

/** The hash that names a model's values: SHA-256 of the parameters' bytes followed by the statistics' bytes. */
export function modelSha256(model: ModelState): string {
  return createHash('sha256').update(bytesOf(model.parameters)).update(bytesOf(model.statistics)).digest('hex')
}
