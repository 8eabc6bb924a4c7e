import { bytesOf, type NamedTensor } from '@meshfl/core'

/** The name by which files hold what a strategy asks for beside an update. */
export const VECTOR = 'strategy.vector'

/** Bytes of a file or a frame as floats of their own: they need not lie at a multiple of 4, and a Buffer's slice is no copy. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const values = new Float32Array(bytes.length / 4)
  bytesOf(values).set(bytes)
  return values
}

export function vectorTensor(vector: Float32Array): NamedTensor {
  return { name: VECTOR, dtype: 'F32', shape: [vector.length], data: bytesOf(vector) }
}
