/** Blocks along each axis: fine enough to tell two heads apart, coarse enough that noise and small shifts vanish. */
const BLOCKS = 16

/** Blocks along x, y, z of the thumbnail of a volume. */
export function thumbnailShape(shape: readonly [number, number, number]): [number, number, number] {
  return shape.map((size) => Math.min(BLOCKS, size)) as [number, number, number]
}

/** Block means of an image, rounded: at most 16 along each axis. */
export function thumbnail(image: Uint8Array, shape: readonly [number, number, number]): Uint8Array {
  const [nx, ny, nz] = shape
  const [bx, by, bz] = thumbnailShape(shape)
  const sums = new Float64Array(bx * by * bz)
  const counts = new Uint32Array(sums.length)
  const column = Int32Array.from({ length: nx }, (_, x) => Math.floor((x * bx) / nx))
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const row = bx * (Math.floor((y * by) / ny) + by * Math.floor((z * bz) / nz))
      const start = nx * (y + ny * z)
      for (let x = 0; x < nx; x++) {
        const block = row + column[x]!
        sums[block]! += image[start + x]!
        counts[block]!++
      }
    }
  }
  return Uint8Array.from(sums, (sum, block) => Math.round(sum / counts[block]!))
}

/** Values less their mean, of length 1: the scalar product of two of them is Pearson's correlation. Zeros for a constant. */
export function standardized(values: Uint8Array): Float64Array {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  const mean = sum / values.length
  const result = new Float64Array(values.length)
  let squares = 0
  for (let i = 0; i < values.length; i++) {
    const value = values[i]! - mean
    result[i] = value
    squares += value * value
  }
  const norm = Math.sqrt(squares)
  if (norm > 0) for (let i = 0; i < result.length; i++) result[i]! /= norm
  return result
}

export function scalarProduct(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}
