import { emptyLike, sameWidthView } from './datatype.js'
import { type GridMapping, gridMapping, insideRun } from './grid-mapping.js'
import { type Geometry, type Shape, type Volume, type VoxelArray, voxelCount } from './volume.js'

/**
 * How far, in voxels, points are moved so that none lies halfway between two voxels. More than the noise of float32 headers, and
 * far less than anybody could see.
 */
const TIE = 2e-4
/** Just short of the next tie, so that rounding never leaves the source. */
const EDGE = 0.5 - 1e-9

/**
 * Whose axes decide where a point halfway between two voxels goes. `target`: to the voxel that lies further along the axes of the
 * target; `source`: to the one that lies less far along those of the source. One undoes the other: a label resampled by the axes of a
 * target, and from there back by the axes of what is now the source, is itself again where the voxels have one size. And the file's
 * own order of voxels, which says nothing about the head, decides nothing.
 */
export type TieAxes = 'target' | 'source'

/**
 * Resamples labels onto another grid, each voxel from the nearest one; what lies outside the source is 0. Type and set of values stay.
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function resampleLabel<T extends VoxelArray>(volume: Volume<T>, target: Geometry, ties: TieAxes): Volume<T> {
  const { shape, affine } = target
  const voxels = emptyLike(volume.voxels, voxelCount(shape))
  const [source, result] = [sameWidthView(volume.voxels), sameWidthView(voxels)]
  eachRun(volume, target, ties, (m, sx, sy, sz, first, last, out) =>
    nearestRun(source, volume.shape, m, sx, sy, sz, first, last, result, out),
  )
  return { ...volume, shape, affine, voxels }
}

/**
 * Resamples labels onto a finer grid: each voxel gets the label that has most of the eight voxels around it, by the weights of
 * trilinear interpolation. What lies outside the source is 0. The nearest voxel alone would move all that a coarse voxel stands for by up to
 * half of it, and leave steps.
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function refineLabel(volume: Volume<Uint8Array>, target: Geometry, ties: TieAxes): Volume<Uint8Array> {
  const { shape, affine } = target
  const voxels = new Uint8Array(voxelCount(shape))
  const votes = new Float64Array(256)
  eachRun(volume, target, ties, (m, sx, sy, sz, first, last, out) =>
    votedRun(volume.voxels, volume.shape, m, sx, sy, sz, first, last, voxels, out, votes),
  )
  return { ...volume, shape, affine, voxels }
}

/**
 * Whether a step from voxel to voxel of the target is, along any of its axes, less than three quarters of a voxel of the source: from
 * there on the nearest voxel leaves steps, and a vote is worth what it takes from structures of one voxel.
 */
export function isFiner(target: Geometry, source: Geometry): boolean {
  const m = gridMapping(source, target)
  return [0, 1, 2].some((axis) => Math.hypot(m[axis]!, m[axis + 4]!, m[axis + 8]!) < 0.75)
}

/** Takes the voxels first..last of a row of the target, which begins at `out` and, in the source, at (sx, sy, sz). */
type Run = (m: GridMapping, sx: number, sy: number, sz: number, first: number, last: number, out: number) => void

function eachRun(source: Geometry, target: Geometry, ties: TieAxes, run: Run): void {
  const m = gridMapping(source, target)
  for (const row of [0, 4, 8]) m[row + 3]! += ties === 'source' ? -TIE : TIE * (m[row]! + m[row + 1]! + m[row + 2]!)
  const [nx, ny, nz] = target.shape
  const [lastX, lastY, lastZ] = source.shape
  for (let z = 0; z < nz; z++)
    for (let y = 0; y < ny; y++) {
      const sx = m[1] * y + m[2] * z + m[3]
      const sy = m[5] * y + m[6] * z + m[7]
      const sz = m[9] * y + m[10] * z + m[11]
      const [ax, bx] = insideRun(sx, m[0], -0.5, lastX - 1 + EDGE, nx)
      const [ay, by] = insideRun(sy, m[4], -0.5, lastY - 1 + EDGE, nx)
      const [az, bz] = insideRun(sz, m[8], -0.5, lastZ - 1 + EDGE, nx)
      const [first, last] = [Math.max(ax, ay, az), Math.min(bx, by, bz)]
      if (first <= last) run(m, sx, sy, sz, first, last, (z * ny + y) * nx)
    }
}

type Plain = Uint8Array | Uint16Array | Uint32Array | Float64Array

function nearestRun(
  source: Plain,
  shape: Shape,
  m: GridMapping,
  sx: number,
  sy: number,
  sz: number,
  first: number,
  last: number,
  target: Plain,
  out: number,
): void {
  const strideY = shape[0]
  const strideZ = shape[0] * shape[1]
  for (let i = first; i <= last; i++) {
    const ix = Math.floor(sx + i * m[0] + 0.5)
    const iy = Math.floor(sy + i * m[4] + 0.5)
    const iz = Math.floor(sz + i * m[8] + 0.5)
    target[out + i] = source[iz * strideZ + iy * strideY + ix] as number
  }
}

function votedRun(
  source: Uint8Array,
  shape: Shape,
  m: GridMapping,
  sx: number,
  sy: number,
  sz: number,
  first: number,
  last: number,
  target: Uint8Array,
  out: number,
  votes: Float64Array,
): void {
  const [lastX, lastY, lastZ] = [shape[0] - 1, shape[1] - 1, shape[2] - 1]
  const strideY = shape[0]
  const strideZ = shape[0] * shape[1]
  const around = new Uint8Array(8)
  for (let i = first; i <= last; i++) {
    // beyond the outermost centres it is theirs, as with the nearest
    const x = Math.min(Math.max(sx + i * m[0], 0), lastX)
    const y = Math.min(Math.max(sy + i * m[4], 0), lastY)
    const z = Math.min(Math.max(sz + i * m[8], 0), lastZ)
    const [ix, iy, iz] = [Math.floor(x), Math.floor(y), Math.floor(z)]
    const base = iz * strideZ + iy * strideY + ix
    const right = ix < lastX ? 1 : 0
    const up = iy < lastY ? strideY : 0
    const far = iz < lastZ ? strideZ : 0
    const label = source[base] as number
    around[0] = label
    let isOne = true
    for (let corner = 1; corner < 8; corner++) {
      const at = base + (corner & 1 ? right : 0) + (corner & 2 ? up : 0) + (corner & 4 ? far : 0)
      const other = source[at] as number
      around[corner] = other
      if (other !== label) isOne = false
    }
    target[out + i] = isOne ? label : most(around, x - ix, y - iy, z - iz, votes)
  }
}

/** The label with the greatest sum of weights; `votes` is all zeros before and after. */
function most(around: Uint8Array, fx: number, fy: number, fz: number, votes: Float64Array): number {
  for (let corner = 0; corner < 8; corner++) {
    const wx = corner & 1 ? fx : 1 - fx
    const wy = corner & 2 ? fy : 1 - fy
    const wz = corner & 4 ? fz : 1 - fz
    votes[around[corner] as number]! += wx * wy * wz
  }
  let best = around[0] as number
  for (let corner = 1; corner < 8; corner++) {
    const label = around[corner] as number
    if ((votes[label] as number) > (votes[best] as number)) best = label
  }
  for (let corner = 0; corner < 8; corner++) votes[around[corner] as number] = 0
  return best
}
