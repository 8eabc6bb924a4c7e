import { gridMapping, insideRun } from './grid-mapping.js'
import { type Geometry, type Shape, type Volume, type VoxelArray, voxelCount } from './volume.js'

/** How far outside the outermost voxel centres a point still counts as on them: rounding noise, voxels. */
const EDGE = 1e-6

/** Takes one row of the target: `row[x]` for all x of (y, z). */
export type RowSink = (row: Float64Array, y: number, z: number) => void

/**
 * Resamples onto another grid by trilinear interpolation; what lies outside the source's outermost voxel centres is 0. For labels see
 * `resampleLabel`.
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function resample(volume: Volume, target: Geometry): Volume<Float32Array> {
  const { shape, affine } = target
  const voxels = new Float32Array(voxelCount(shape))
  resampleRows(volume, target, (row, y, z) => voxels.set(row, (z * shape[1] + y) * shape[0]))
  return { ...volume, shape, affine, voxels }
}

/** Trilinear interpolation, one row of the target at a time, so that what follows (a rescale, a rounding) needs no volume of floats. */
export function resampleRows(volume: Volume, target: Geometry, sink: RowSink): void {
  const source = interpolable(volume.voxels)
  const m = gridMapping(volume, target)
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
