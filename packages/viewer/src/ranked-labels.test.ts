import type { VoxelArray } from '@meshfl/volume'
import { expect, test } from 'vitest'
import { rankLabels } from './ranked-labels.js'

const labelOf = (voxels: VoxelArray) => ({
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

test.each([Int8Array, Int16Array, Int32Array])('negative codes of a %o keep their sign', (Type) => {
  const { voxels, values } = rankLabels(labelOf(Type.from([-1, 5, 0, -128, 5])), 'x')
  expect(values.map(({ value, voxels: count }) => [value, count])).toEqual([
    [0, 1],
    [-128, 1],
    [-1, 1],
    [5, 2],
  ])
  expect([...voxels]).toEqual([2, 3, 0, 1, 3])
})

test.each([Uint8Array, Uint16Array, Uint32Array])('the highest codes of a %o stay positive', (Type) => {
  const highest = 2 ** (8 * Math.min(2, Type.BYTES_PER_ELEMENT)) - 1
  const { values } = rankLabels(labelOf(Type.from([highest, 1])), 'x')
  expect(values.map(({ value }) => value)).toEqual([0, 1, highest])
})

test('a scan of 16 bits that was given as a label map is refused, too', () => {
  const scan = labelOf(Int16Array.from({ length: 5000 }, (_, i) => i))
  expect(() => rankLabels(scan, 'scan.nii')).toThrow('more than 4096 values')
})
