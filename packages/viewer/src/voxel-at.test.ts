import { applyAffine, invertAffine } from '@meshfl/volume'
import { expect, test } from 'vitest'
import { voxelAt } from './voxel-at.js'

test('the voxel counts along the axes of the file, also where they point elsewhere than those of the world', () => {
  // PSR, as IXI's scans are stored.
  const affine = [0, 0, 2, -90, -2, 0, 0, 100, 0, 2, 0, -110, 0, 0, 0, 1]
  const mmToVoxel = invertAffine(affine).slice(0, 12)
  expect(voxelAt(mmToVoxel, applyAffine(affine, [3, 50, 7]))).toEqual([3, 50, 7])
  const [x, y, z] = applyAffine(affine, [3, 50, 7])
  expect(voxelAt(mmToVoxel, [x + 0.9, y - 0.9, z])).toEqual([3, 50, 7])
  expect(voxelAt(mmToVoxel, [x + 1.1, y, z])).toEqual([3, 50, 8])
})
