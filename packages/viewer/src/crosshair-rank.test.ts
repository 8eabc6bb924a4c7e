import { invertAffine } from '@meshfl/volume'
import { expect, test } from 'vitest'
import { crosshairRank } from './crosshair-rank.js'

/** 4 x 4 x 2 voxels of 2 mm, the first at (10, 10, 10). */
const info = {
  ...{ shape: [4, 4, 2] as [number, number, number], voxelSizeMm: [2, 2, 2] as [number, number, number] },
  ...{ version: '', orientation: 'RAS', storedType: 'uint8', zeroed: 0 },
  mmToVoxel: invertAffine([2, 0, 0, 10, 0, 2, 0, 10, 0, 0, 2, 10, 0, 0, 0, 1]).slice(0, 12),
}

test('within a label map its class is told', () => {
  expect(crosshairRank(info, [10, 10, 10], 3)).toBe(3)
  expect(crosshairRank(info, [16.9, 16.9, 12.9], 3)).toBe(3)
})

test('outside of its field of view a label map has no class, though the voxel at its edge has', () => {
  expect(crosshairRank(info, [10, 10, 13.1], 3)).toBeUndefined()
  expect(crosshairRank(info, [8.9, 10, 10], 3)).toBeUndefined()
  expect(crosshairRank(info, [10, 17.1, 10], 3)).toBeUndefined()
})
