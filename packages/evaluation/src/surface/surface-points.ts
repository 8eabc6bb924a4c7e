import { type Shape, voxelCount } from '@meshfl/volume'
import type { Box } from './class-boxes.js'

/** Points of a grid over a box, x fastest: 0 where there is no surface, else what kind of surface. */
export interface SurfacePoints {
  shape: Shape
  kinds: Uint8Array
}

/**
 * The corners of voxels between which the surface of a class runs: the code of the eight voxels around it, see `surfelAreas`. Outside of
 * the volume nothing belongs to the class, so a class that reaches its end has a surface there. A volume of one slice is a picture, which
 * goes on before and behind: its front and back are no surface.
 */
export function surfelCodes(labels: ArrayLike<number>, value: number, volume: Shape, box: Box): SurfacePoints {
  const corners = (axis: 0 | 1 | 2): number => (volume[axis] > 1 ? box.size[axis] + 1 : 1)
  const shape: Shape = [corners(0), corners(1), corners(2)]
  const kinds = new Uint8Array(voxelCount(shape))
  // Steps to the corner after a voxel: along an axis of one voxel it is the same, which is near and far.
  const right = volume[0] > 1 ? 1 : 0
  const down = volume[1] > 1 ? shape[0] : 0
  const back = volume[2] > 1 ? shape[0] * shape[1] : 0
  forEachOf(labels, value, volume, box, (x, y, z) => {
    // A voxel is the far one (1) of the corner that it begins at, and the near one (0) of the corner after it.
    const corner = x + shape[0] * (y + shape[1] * z)
    kinds[corner]! |= 128
    kinds[corner + right]! |= 64
    kinds[corner + down]! |= 32
    kinds[corner + down + right]! |= 16
    kinds[corner + back]! |= 8
    kinds[corner + back + right]! |= 4
    kinds[corner + back + down]! |= 2
    kinds[corner + back + down + right]! |= 1
  })
  for (let i = 0; i < kinds.length; i++) if (kinds[i] === 255) kinds[i] = 0
  return { shape, kinds }
}

/**
 * The voxels of a class that touch another one with a face: what an erosion by one voxel takes away. Outside of the volume nothing belongs
 * to the class. A volume of one slice is a picture, in which nothing lies before or behind: else all of it would be edge.
 */
export function edgeVoxels(labels: ArrayLike<number>, value: number, volume: Shape, box: Box): SurfacePoints {
  const kinds = new Uint8Array(voxelCount(box.size))
  const [width, height, depth] = volume
  const [x0, y0, z0] = box.low
  const slice = width * height
  const isEnd = (at: number, length: number): boolean => length > 1 && (at === 0 || at === length - 1)
  forEachOf(labels, value, volume, box, (x, y, z, i) => {
    const isEdge =
      isEnd(x0 + x, width) ||
      isEnd(y0 + y, height) ||
      isEnd(z0 + z, depth) ||
      (width > 1 && (labels[i - 1] !== value || labels[i + 1] !== value)) ||
      (height > 1 && (labels[i - width] !== value || labels[i + width] !== value)) ||
      (depth > 1 && (labels[i - slice] !== value || labels[i + slice] !== value))
    if (isEdge) kinds[x + box.size[0] * (y + box.size[1] * z)] = 1
  })
  return { shape: box.size, kinds }
}

/** Every voxel of a class within a box, by its place in the box and its index in the volume. */
function forEachOf(
  labels: ArrayLike<number>,
  value: number,
  [width, height]: Shape,
  { low, size }: Box,
  visit: (x: number, y: number, z: number, index: number) => void,
): void {
  for (let z = 0; z < size[2]; z++) {
    for (let y = 0; y < size[1]; y++) {
      const row = low[0] + width * (low[1] + y + height * (low[2] + z))
      for (let x = 0; x < size[0]; x++) if (labels[row + x] === value) visit(x, y, z, row + x)
    }
  }
}
