import { thumbnailShape } from './thumbnail.js'

/** Cells along each axis in which two thumbnails are compared first: 64 and 512 numbers, where a thumbnail has 4,096. */
const COARSE_CELLS = [4, 8]
/** Of a squared distance between vectors of length 1; sums of 4,096 terms are right to 1e-12. */
const ROUNDING = 1e-9

export interface StandardizedScan {
  /** Of length 1, or zeros. */
  thumbnail: Float64Array
  /** Of the volume that the thumbnail is of. */
  shape: readonly [number, number, number]
}

/** A row of equally many numbers for every scan. */
interface Table {
  width: number
  values: Float64Array
}

/**
 * Tells of two scans of one shape, by their places, whether their thumbnails surely correlate less than `least`. The squared distance of
 * vectors of length 1 is twice what their correlation lacks to 1, and what some of their values differ by is a part of it; so is what
 * they differ by in coarse cells, where most pairs are told apart. Never true for two that correlate more.
 */
export function apartness(scans: readonly StandardizedScan[], least: number): (i: number, j: number) => boolean {
  const most = 2 * (1 - least) + ROUNDING
  const [coarse, finer] = COARSE_CELLS.map((cells) => variedFirst(cellTable(scans, cells))) as [Table, Table]
  const thumbnails = scans.map(({ thumbnail }) => thumbnail)
  return (i, j) => {
    if (areRowsFurther(coarse, i, j, most) || areRowsFurther(finer, i, j, most)) return true
    const [a, b] = [thumbnails[i]!, thumbnails[j]!]
    return isFurther(a, 0, b, 0, a.length, most)
  }
}

/**
 * Every thumbnail projected onto cells, each with its sum over the root of its size: an orthonormal basis of what is constant in
 * them, so that no two projections are further apart than the thumbnails.
 */
function cellTable(scans: readonly StandardizedScan[], cells: number): Table {
  const width = cells ** 3
  const values = new Float64Array(scans.length * width)
  for (const [at, { thumbnail, shape }] of scans.entries()) {
    const [columns, rows, slices] = thumbnailShape(shape).map((size) =>
      Int32Array.from({ length: size }, (_, i) => Math.floor((i * Math.min(cells, size)) / size)),
    ) as [Int32Array, Int32Array, Int32Array]
    const sums = values.subarray(at * width, (at + 1) * width)
    const counts = new Float64Array(width)
    let i = 0
    for (const slice of slices)
      for (const row of rows)
        for (const column of columns) {
          const cell = column + cells * (row + cells * slice)
          sums[cell]! += thumbnail[i++]!
          counts[cell]!++
        }
    for (let cell = 0; cell < width; cell++) if (counts[cell]! > 0) sums[cell]! /= Math.sqrt(counts[cell]!)
  }
  return { width, values }
}

/** The same columns, those in which scans differ most to the front: there two are soonest told apart. */
function variedFirst({ width, values }: Table): Table {
  const count = values.length / width
  const sums = new Float64Array(width)
  const squares = new Float64Array(width)
  for (let at = 0; at < values.length; at += width) {
    for (let column = 0; column < width; column++) {
      const value = values[at + column]!
      sums[column]! += value
      squares[column]! += value ** 2
    }
  }
  const spread = squares.map((square, column) => square - sums[column]! ** 2 / count)
  const order = Int32Array.from(spread, (_, column) => column).sort((a, b) => spread[b]! - spread[a]!)
  const ordered = new Float64Array(values.length)
  for (let at = 0; at < values.length; at += width)
    for (let column = 0; column < width; column++) ordered[at + column] = values[at + order[column]!]!
  return { width, values: ordered }
}

function areRowsFurther({ width, values }: Table, i: number, j: number, most: number): boolean {
  return isFurther(values, i * width, values, j * width, width, most)
}

/** Whether the squared distance of two rows is above `most`: asked after every eight values. */
function isFurther(a: Float64Array, atA: number, b: Float64Array, atB: number, width: number, most: number): boolean {
  let total = 0
  for (let i = 0; i < width; ) {
    const end = Math.min(width, i + 8)
    for (; i < end; i++) {
      const difference = a[atA + i]! - b[atB + i]!
      total += difference * difference
    }
    if (total > most) return true
  }
  return false
}
