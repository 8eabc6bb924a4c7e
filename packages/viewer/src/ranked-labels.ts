import { MeshflError } from '@meshfl/core'
import { type Volume, voxelVolumeMl } from '@meshfl/volume'
import type { LabelValue } from './page-data.js'

/** A segmentation has fewer values; a scan that was given as one has more. */
const MOST_VALUES = 4096

export interface RankedLabels {
  /** For each voxel the place of its value in `values`: small whole numbers, whatever codes the file holds. */
  voxels: Uint8Array | Uint16Array
  /** Ascending. The first is 0, background, also where no voxel has it. */
  values: LabelValue[]
}

/**
 * Counts the values of a label map and gives every voxel the place of its own among them.
 * @param name what to call the file in an error
 * @throws MeshflError `VIEW_NOT_LABELS`
 */
export function rankLabels(label: Volume, name: string): RankedLabels {
  const counts = new Map<number, number>([[0, 0]])
  for (const value of label.voxels) {
    const before = counts.get(value)
    if (before !== undefined) counts.set(value, before + 1)
    else if (counts.size < MOST_VALUES) counts.set(value, 1)
    else throw notLabels(name)
  }
  // Background first, also where a map has negative codes: the page draws nothing for rank 0.
  const order = [0, ...[...counts.keys()].filter((value) => value !== 0).sort((a, b) => a - b)]
  const ranks = new Map(order.map((value, rank) => [value, rank]))
  const voxels = new (order.length <= 256 ? Uint8Array : Uint16Array)(label.voxels.length)
  for (let i = 0; i < voxels.length; i++) voxels[i] = ranks.get(label.voxels[i]!)!
  const ml = voxelVolumeMl(label.affine)
  return {
    voxels,
    values: order.map((value) => ({ value, voxels: counts.get(value)!, ml: counts.get(value)! * ml })),
  }
}

function notLabels(name: string): MeshflError {
  return new MeshflError('VIEW_NOT_LABELS', `${name} has more than ${MOST_VALUES} values: it is no label map`, {
    hint: 'name one scan first, then its label maps',
  })
}
