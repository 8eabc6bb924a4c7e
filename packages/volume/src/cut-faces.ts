import { gridMapping } from './grid-mapping.js'
import { orientation } from './orientation.js'
import type { Geometry, Volume } from './volume.js'

const NAMES: Record<string, string> = {
  ...{ L: 'left', R: 'right', P: 'posterior', A: 'anterior', I: 'inferior', S: 'superior' },
}
const OPPOSITE: Record<string, string> = { L: 'R', R: 'L', P: 'A', A: 'P', I: 'S', S: 'I' }

/** A face of a grid behind which a scan goes on. */
export interface CutFace {
  /** Towards which it lies: left, right, posterior, anterior, inferior, superior. */
  face: string
  /** Voxels on it that are not background, and whose neighbours beyond it lie in the scan. */
  voxels: number
}

/**
 * Where a grid cuts off what was segmented on it: what touches a face of the grid goes on behind it, if the scan does.
 * @param label on the grid
 * @param scan what the grid was laid into; absent: something that goes on everywhere, as a head does behind the faces of its scan
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function cutFaces(label: Volume, scan?: Geometry): CutFace[] {
  const m = scan && gridMapping(scan, label)
  const isInScan = (index: readonly number[]): boolean =>
    !scan ||
    scan.shape.every((size, axis) => {
      const [dx, dy, dz, shift] = m!.slice(axis * 4, axis * 4 + 4) as [number, number, number, number]
      const at = dx * index[0]! + dy * index[1]! + dz * index[2]! + shift
      return at >= -0.5 && at <= size - 0.5
    })
  const strides = [1, label.shape[0], label.shape[0] * label.shape[1]]
  const axcodes = orientation(label.affine)
  return [0, 1, 2].flatMap((axis) => {
    const [u, v] = [(axis + 1) % 3, (axis + 2) % 3]
    const towards = axcodes[axis]!
    const last = label.shape[axis]! - 1
    const ends: [string, number, number][] = [
      [OPPOSITE[towards]!, 0, -1],
      [towards, last, last + 1],
    ]
    return ends.flatMap(([letter, at, beyond]) => {
      let voxels = 0
      const index = [0, 0, 0]
      index[axis] = beyond
      for (index[v] = 0; index[v]! < label.shape[v]!; index[v]!++)
        for (index[u] = 0; index[u]! < label.shape[u]!; index[u]!++) {
          const offset = at * strides[axis]! + index[u]! * strides[u]! + index[v]! * strides[v]!
          if (label.voxels[offset] !== 0 && isInScan(index)) voxels++
        }
      return voxels > 0 ? [{ face: NAMES[letter]!, voxels }] : []
    })
  })
}
