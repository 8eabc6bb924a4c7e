import { emptyLike, sameWidthView } from './datatype.js'
import { gridMapping, insideRun } from './grid-mapping.js'
import { type Geometry, type Shape, type Volume, type VoxelArray, voxelCount } from './volume.js'

/** How far outside the outermost voxel centres a point still counts as on them: rounding noise, voxels. */
const EDGE = 1e-6

/** Takes one row of the target: `row[x]` for all x of (y, z). */
export type RowSink = (row: Float64Array, y: number, z: number) => void

/**
 * Resamples onto another grid; what lies outside the source is 0.
 * @param method `linear` gives float32; `nearest` keeps the type and the set of values, and sends a tie to the higher index
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function resample(volume: Volume, target: Geometry, method: 'linear'): Volume<Float32Array>
export function resample<T extends VoxelArray>(volume: Volume<T>, target: Geometry, method: 'nearest'): Volume<T>
export function resample(volume: Volume, target: Geometry, method: 'linear' | 'nearest'): Volume
export function resample(volume: Volume, target: Geometry, method: 'linear' | 'nearest'): Volume {
  const { shape, affine } = target
  if (method === 'nearest') {
    const voxels = emptyLike(volume.voxels, voxelCount(shape))
    const mapping = gridMapping(volume, target)
    nearest(sameWidthView(volume.voxels), volume.shape, mapping, sameWidthView(voxels), shape)
    return { ...volume, shape, affine, voxels }
  }
  const voxels = new Float32Array(voxelCount(shape))
  resampleRows(volume, target, (row, y, z) => voxels.set(row, (z * shape[1] + y) * shape[0]))
  return { ...volume, shape, affine, voxels }
}

/** Trilinear interpolation, one row of the target at a time, so that what follows (a rescale, a rounding) needs no volume of floats. */
export function resampleRows(volume: Volume, target: Geometry, sink: RowSink): void {
  const source = interpolable(volume.voxels)
  const m = gridMapping(volume, target) as Mapping
  const [nx, ny, nz] = target.shape
  const row = new Float64Array(nx)
  const bounds = volume.shape.map((size) => size - 1) as unknown as Shape
  for (let z = 0; z < nz; z++)
    for (let y = 0; y < ny; y++) {
      const sx = m[1] * y + m[2] * z + m[3]
      const sy = m[5] * y + m[6] * z + m[7]
      const sz = m[9] * y + m[10] * z + m[11]
      const [ax, bx] = insideRun(sx, m[0], -EDGE, bounds[0] + EDGE, nx)
      const [ay, by] = insideRun(sy, m[4], -EDGE, bounds[1] + EDGE, nx)
      const [az, bz] = insideRun(sz, m[8], -EDGE, bounds[2] + EDGE, nx)
      const first = Math.max(ax, ay, az)
      const last = Math.min(bx, by, bz)
      row.fill(0)
      if (first <= last) trilinearRun(source, volume.shape, row, first, last, sx, m[0], sy, m[4], sz, m[8])
      sink(row, y, z)
    }
}

type Mapping = [number, number, number, number, number, number, number, number, number, number, number, number]
type Interpolable = Uint8Array | Float32Array | Float64Array

/** Few types, so that the inner loop stays fast; small integers are exact in float32. */
function interpolable(voxels: VoxelArray): Interpolable {
  if (voxels instanceof Uint8Array || voxels instanceof Float32Array || voxels instanceof Float64Array) return voxels
  return voxels.BYTES_PER_ELEMENT <= 2 ? new Float32Array(voxels) : new Float64Array(voxels)
}

function trilinearRun(
  source: Interpolable,
  shape: Shape,
  row: Float64Array,
  first: number,
  last: number,
  x0: number,
  dx: number,
  y0: number,
  dy: number,
  z0: number,
  dz: number,
): void {
  const lastX = shape[0] - 1
  const lastY = shape[1] - 1
  const lastZ = shape[2] - 1
  const strideY = shape[0]
  const strideZ = shape[0] * shape[1]
  for (let i = first; i <= last; i++) {
    const x = x0 + i * dx
    const y = y0 + i * dy
    const z = z0 + i * dz
    const ix = x > 0 ? Math.floor(x) : 0
    const iy = y > 0 ? Math.floor(y) : 0
    const iz = z > 0 ? Math.floor(z) : 0
    const fx = x - ix
    const fy = y - iy
    const fz = z - iz
    const base = iz * strideZ + iy * strideY + ix
    // on the last plane the far neighbour has weight 0: any voxel will do
    const right = ix < lastX ? 1 : 0
    const up = iy < lastY ? strideY : 0
    const far = iz < lastZ ? strideZ : 0
    const a = source[base] as number
    const c = source[base + up] as number
    const e = source[base + far] as number
    const g = source[base + far + up] as number
    const near0 = a + ((source[base + right] as number) - a) * fx
    const near1 = c + ((source[base + up + right] as number) - c) * fx
    const far0 = e + ((source[base + far + right] as number) - e) * fx
    const far1 = g + ((source[base + far + up + right] as number) - g) * fx
    const near = near0 + (near1 - near0) * fy
    row[i] = near + (far0 + (far1 - far0) * fy - near) * fz
  }
}

type Plain = Uint8Array | Uint16Array | Uint32Array | Float64Array

function nearest(source: Plain, from: Shape, mapping: readonly number[], target: Plain, to: Shape): void {
  const m = mapping as Mapping
  const [nx, ny, nz] = to
  const strideY = from[0]
  const strideZ = from[0] * from[1]
  // just short of the next tie, so that rounding never leaves the source
  const edge = 0.5 - 1e-9
  for (let z = 0; z < nz; z++)
    for (let y = 0; y < ny; y++) {
      const sx = m[1] * y + m[2] * z + m[3]
      const sy = m[5] * y + m[6] * z + m[7]
      const sz = m[9] * y + m[10] * z + m[11]
      const [ax, bx] = insideRun(sx, m[0], -0.5, from[0] - 1 + edge, nx)
      const [ay, by] = insideRun(sy, m[4], -0.5, from[1] - 1 + edge, nx)
      const [az, bz] = insideRun(sz, m[8], -0.5, from[2] - 1 + edge, nx)
      const first = Math.max(ax, ay, az)
      const last = Math.min(bx, by, bz)
      const out = (z * ny + y) * nx
      for (let i = first; i <= last; i++) {
        const ix = Math.floor(sx + i * m[0] + 0.5)
        const iy = Math.floor(sy + i * m[4] + 0.5)
        const iz = Math.floor(sz + i * m[8] + 0.5)
        target[out + i] = source[iz * strideZ + iy * strideY + ix] as number
      }
    }
}
