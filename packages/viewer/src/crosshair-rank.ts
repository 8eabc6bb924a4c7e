import type { ImageInfo } from './page-data.js'
import { voxelAt } from './voxel-at.js'

/** Whether a place lies in a voxel of a volume. */
export function isInside({ mmToVoxel, shape }: ImageInfo, mm: readonly [number, number, number]): boolean {
  return voxelAt(mmToVoxel, mm).every((index, axis) => index >= 0 && index < shape[axis]!)
}

/**
 * What a label map has under the crosshair: the place of the value among the values of the map, or undefined outside of its field of view.
 * @param drawn as NiiVue tells it, which beyond the edge of a volume repeats the voxel at the edge
 */
export function crosshairRank(
  info: ImageInfo,
  mm: readonly [number, number, number],
  drawn: number | undefined,
): number | undefined {
  return drawn !== undefined && isInside(info, mm) ? Math.round(drawn) : undefined
}
