import type { ModelLayout, TensorEntry } from '@meshfl/core'

/** Largest |a - b| over the largest |b|. */
export function relativeMaximum(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0
  let size = 0
  for (let i = 0; i < b.length; i++) {
    const error = Math.abs(a[i]! - b[i]!)
    if (Number.isNaN(error)) return Number.NaN // a comparison with NaN would pass unseen
    difference = Math.max(difference, error)
    size = Math.max(size, Math.abs(b[i]!))
  }
  if (a.length !== b.length) return Number.NaN
  return difference === 0 ? 0 : difference / size
}

function norm(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! ** 2
  return Math.sqrt(sum)
}

/**
 * ||a - b|| / ||b|| of each tensor by name. A tensor whose true gradient is zero (a convolution's bias before BatchNorm)
 * holds nothing but rounding, so a tensor counts for at least `floor` of the whole.
 */
export function relativeByTensor(
  layout: ModelLayout,
  a: Float32Array,
  b: Float32Array,
  floor = 1e-2,
): Record<string, number> {
  const least = floor * norm(b)
  const slice = ({ offset, shape }: TensorEntry, values: Float32Array): Float32Array =>
    values.subarray(offset, offset + shape.reduce((product, n) => product * n, 1))
  return Object.fromEntries(
    layout.parameters.map((entry) => {
      const truth = slice(entry, b)
      const difference = slice(entry, a).map((value, i) => value - truth[i]!)
      return [entry.name, norm(difference) / Math.max(norm(truth), least)]
    }),
  )
}

/** Of the angle between two vectors. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let product = 0
  for (let i = 0; i < b.length; i++) product += a[i]! * b[i]!
  return product / (norm(a) * norm(b))
}
