import { expect, test } from 'vitest'
import { rankLabels } from './ranked-labels.js'

const labelOf = (voxels: Int32Array) => ({
  ...{ shape: [voxels.length, 1, 1] as const, affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] },
  ...{ voxels, storedType: 'int32', slope: 1, intercept: 0 },
})

test('codes of any size become small numbers, background first', () => {
  const { voxels, values } = rankLabels(labelOf(Int32Array.from([14175, -5, 14175, 2])), 'x')
  expect(values.map(({ value, voxels: count }) => [value, count])).toEqual([
    [0, 0],
    [-5, 1],
    [2, 1],
    [14175, 2],
  ])
  expect([...voxels]).toEqual([3, 1, 3, 2])
})

test('a map of more values than a byte has takes two bytes a voxel', () => {
  const { voxels, values } = rankLabels(labelOf(Int32Array.from({ length: 300 }, (_, i) => i)), 'x')
  expect(voxels).toBeInstanceOf(Uint16Array)
  expect(values).toHaveLength(300)
})

test('a scan that was given as a label map is refused', () => {
  const scan = labelOf(Int32Array.from({ length: 5000 }, (_, i) => i))
  expect(() => rankLabels(scan, 'scan.nii')).toThrow('scan.nii has more than 4096 values: it is no label map')
})
