import { MeshflError } from '@meshfl/core'
import { type Volume, type VoxelArray, voxelVolumeMl } from '@meshfl/volume'
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
  const counts = countValues(label.voxels, name)
  // Background first, also where a map has negative codes: the page draws nothing for rank 0.
  const order = [0, ...[...counts.keys()].filter((value) => value !== 0).sort((a, b) => a - b)]
  const rankOf = rankLookup(order, label.voxels)
  const voxels = new (order.length <= 256 ? Uint8Array : Uint16Array)(label.voxels.length)
  for (let i = 0; i < voxels.length; i++) voxels[i] = rankOf(label.voxels[i]!)
  const ml = voxelVolumeMl(label.affine)
  return {
    voxels,
    values: order.map((value) => ({ value, voxels: counts.get(value)!, ml: counts.get(value)! * ml })),
  }
}

/** Codes of 8 and 16 bits, which are most, are looked up in a table: several times as fast as in a map. */
function isNarrow(voxels: VoxelArray): boolean {
  return voxels.BYTES_PER_ELEMENT <= 2
}

/** Place of a code in a table, also of a negative one. */
const TABLE_MASK = 0xffff

function countValues(voxels: VoxelArray, name: string): Map<number, number> {
  const counts = new Map<number, number>([[0, 0]])
  if (!isNarrow(voxels)) {
    for (const value of voxels) {
      const before = counts.get(value)
      if (before === undefined && counts.size >= MOST_VALUES) throw notLabels(name)
      counts.set(value, (before ?? 0) + 1)
    }
    return counts
  }
  const table = new Float64Array(TABLE_MASK + 1)
  for (let i = 0; i < voxels.length; i++) table[voxels[i]! & TABLE_MASK]!++
  const isSigned = voxels instanceof Int8Array || voxels instanceof Int16Array
  for (const [place, count] of table.entries()) if (count > 0) counts.set(isSigned ? (place << 16) >> 16 : place, count)
  if (counts.size > MOST_VALUES) throw notLabels(name)
  return counts
}

function rankLookup(order: readonly number[], voxels: VoxelArray): (value: number) => number {
  if (!isNarrow(voxels)) {
    const ranks = new Map(order.map((value, rank) => [value, rank]))
    return (value) => ranks.get(value)!
  }
  const table = new Uint16Array(TABLE_MASK + 1)
  for (const [rank, value] of order.entries()) table[value & TABLE_MASK] = rank
  return (value) => table[value & TABLE_MASK]!
}

function notLabels(name: string): MeshflError {
  return new MeshflError('VIEW_NOT_LABELS', `${name} has more than ${MOST_VALUES} values: it is no label map`, {
    hint: 'name one scan first, then its label maps',
  })
}
