import { gridMapping, insideRun } from './grid-mapping.js'
import { type Geometry, type Volume, voxelCount } from './volume.js'

/** To either side of the first and the last voxel's centre, in voxels, with what a header's rounding may move. */
const HALF = 0.5 + 1e-4

/**
 * Voxels of a label that are not background, and how many of them a grid cuts off: those whose centre lies in none of its voxels.
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function countOutside(label: Volume, grid: Geometry): { labelled: number; outside: number } {
  const m = gridMapping(grid, label)
  const [nx, ny] = label.shape
  const rows = voxelCount(label.shape) / nx
  const count = { labelled: 0, outside: 0 }
  for (let row = 0; row < rows; row++) {
    const [y, z] = [row % ny, Math.floor(row / ny)]
    const runs = grid.shape.map((size, axis) => {
      const [dx, dy, dz, shift] = m.slice(axis * 4, axis * 4 + 4) as [number, number, number, number]
      return insideRun(dy * y + dz * z + shift, dx, -HALF, size - 1 + HALF, nx)
    })
    const first = Math.max(...runs.map(([start]) => start))
    const last = Math.min(...runs.map(([, end]) => end))
    for (let x = 0; x < nx; x++) {
      if (label.voxels[row * nx + x] === 0) continue
      count.labelled++
      if (x < first || x > last) count.outside++
    }
  }
  return count
}
