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
 * The largest number of an update. Variances are pooled with squares of means, and Adam's second moment holds squares: those of
 * larger numbers come near the end of float32 or are beyond it, and one site would make a model that nobody can go on with.
 */
export const LARGEST = 2 ** 60

/**
 * Index of the first float that is a NaN, an infinity or above `most` either way, or -1. (Ten times as fast as `findIndex`, on every
 * float that comes in.)
 */
export function findUnusable(values: Float32Array, most = Number.MAX_VALUE): number {
  for (let i = 0; i < values.length; i++) if (!(Math.abs(values[i]!) <= most)) return i
  return -1
}

export function vectorTensor(vector: Float32Array): NamedTensor {
  return { name: VECTOR, dtype: 'F32', shape: [vector.length], data: bytesOf(vector) }
}
