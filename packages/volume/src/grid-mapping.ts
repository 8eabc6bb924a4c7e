import { invertAffine, multiplyAffine } from './affine.js'
import type { Geometry } from './volume.js'

/** Noise that the float32 numbers of a header leave in a linear part (of 1) and in a shift (voxels). */
const LINEAR_NOISE = 1e-6
const SHIFT_NOISE = 1e-4

/** Three rows of four: index of the source = row . (index of the target, 1). */
export type GridMapping = [
  ...[number, number, number, number],
  ...[number, number, number, number],
  ...[number, number, number, number],
]

/**
 * The affine from voxel indices of `target` to voxel indices of `source`. Entries that a header's rounding has moved off a
 * half integer are put back, so that grids that coincide map exactly, and points halfway between two voxels lie there exactly.
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function gridMapping(source: Geometry, target: Geometry): GridMapping {
  const mapping = multiplyAffine(invertAffine(source.affine), target.affine).map((value, i) => {
    const near = Math.round(value * 2) / 2
    return Math.abs(value - near) <= (i % 4 === 3 ? SHIFT_NOISE : LINEAR_NOISE) ? near : value
  })
  return mapping.slice(0, 12) as GridMapping
}

/**
 * The range [first, last] of x for which low <= base + x * step <= high, within 0..size-1; empty where last < first.
 * A mapped row is a straight line, so the voxels of it that lie inside the source are one run.
 */
export function insideRun(base: number, step: number, low: number, high: number, size: number): [number, number] {
  if (step === 0) return base >= low && base <= high ? [0, size - 1] : [0, -1]
  const [a, b] = [(low - base) / step, (high - base) / step]
  let first = Math.max(0, Math.ceil(Math.min(a, b) - 1e-9))
  let last = Math.min(size - 1, Math.floor(Math.max(a, b) + 1e-9))
  const inside = (x: number): boolean => base + x * step >= low && base + x * step <= high
  // the division may be off by one place
  while (first <= last && !inside(first)) first++
  while (last >= first && !inside(last)) last--
  return [first, last]
}
