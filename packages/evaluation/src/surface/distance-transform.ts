import { type Shape, voxelCount } from '@meshfl/volume'

/**
 * The squared distance, mm², from each point of a grid to the nearest marked one; infinite where none is marked. Exact but for rounding,
 * in a time that grows with the number of points only: P. F. Felzenszwalb and D. P. Huttenlocher, Distance Transforms of Sampled
 * Functions, Theory of Computing 8 (2012), 415-428, https://doi.org/10.4086/toc.2012.v008a019.
 * @param marked a point is marked where this is not 0; x fastest
 * @param spacingMm distance of neighbouring points along x, y, z
 * @param into at least as many numbers as there are points; what it held is overwritten
 */
export function squaredDistances(
  marked: Uint8Array,
  shape: Shape,
  spacingMm: readonly [number, number, number],
  into: Float64Array = new Float64Array(voxelCount(shape)),
): Float64Array {
  const [width, height, depth] = shape
  const [dx, dy, dz] = spacingMm
  for (let row = 0; row < voxelCount(shape); row += width) alongRow(marked, into, row, width, dx)
  const slice = width * height
  const line = new Line(Math.max(height, depth))
  for (let z = 0; z < depth; z++) for (let x = 0; x < width; x++) line.transform(into, z * slice + x, height, width, dy)
  for (let start = 0; start < slice; start++) line.transform(into, start, depth, slice, dz)
  return into
}

/** In one dimension the nearest mark is the last one before or the first one after. */
function alongRow(marked: Uint8Array, into: Float64Array, start: number, length: number, spacing: number): void {
  let steps = Number.POSITIVE_INFINITY
  for (let i = start; i < start + length; i++) {
    steps = marked[i] === 0 ? steps + 1 : 0
    into[i] = steps
  }
  steps = Number.POSITIVE_INFINITY
  for (let i = start + length - 1; i >= start; i--) {
    const before = into[i]!
    steps = before === 0 ? 0 : steps + 1
    into[i] = (Math.min(before, steps) * spacing) ** 2
  }
}

/** Room for one line of the grid, used for all of them. */
class Line {
  readonly #values: Float64Array
  /** The parabolas that are lowest somewhere, by the point that they stand on, and from where on each of them is. */
  readonly #feet: Int32Array
  readonly #from: Float64Array

  constructor(length: number) {
    this.#values = new Float64Array(length)
    this.#feet = new Int32Array(length)
    this.#from = new Float64Array(length)
  }

  /** Replaces the values f(q) of a line by the least f(p) + (distance of p and q)². */
  transform(grid: Float64Array, start: number, length: number, stride: number, spacing: number): void {
    const [values, feet, from] = [this.#values, this.#feet, this.#from]
    const scale = 1 / (2 * spacing * spacing)
    let last = -1
    for (let q = 0, at = start; q < length; q++, at += stride) {
      const value = grid[at]!
      values[q] = value
      if (value === Number.POSITIVE_INFINITY) continue
      let crossing = Number.NEGATIVE_INFINITY
      while (last >= 0) {
        const p = feet[last]!
        // Where the parabolas of p and q are equally high, in steps along the line.
        crossing = ((value - values[p]!) * scale) / (q - p) + (p + q) / 2
        if (crossing > from[last]!) break
        last--
      }
      if (last < 0) crossing = Number.NEGATIVE_INFINITY
      last++
      feet[last] = q
      from[last] = crossing
    }
    if (last < 0) return
    let lowest = 0
    for (let q = 0, at = start; q < length; q++, at += stride) {
      while (lowest < last && from[lowest + 1]! < q) lowest++
      const foot = feet[lowest]!
      grid[at] = ((q - foot) * spacing) ** 2 + values[foot]!
    }
  }
}
