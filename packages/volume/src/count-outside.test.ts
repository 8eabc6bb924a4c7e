import { expect, test } from 'vitest'
import { IDENTITY } from './affine.js'
import { conformGeometry, DEFAULT_CONFORM } from './conform.js'
import { countOutside } from './count-outside.js'
import type { Shape, Volume } from './volume.js'

const SHAPE: Shape = [6, 4, 5]
const label: Volume = {
  shape: SHAPE,
  affine: IDENTITY,
  voxels: new Uint8Array(120).fill(2),
  storedType: 'uint8',
  slope: 1,
  intercept: 0,
}

test('what lies beyond a smaller grid is counted, whichever way its axes point', () => {
  // 4 x 4 x 4 mm about the centre: a voxel at either end of x, and of the five along z the outermost half to either side
  const grid = conformGeometry(label, { ...DEFAULT_CONFORM, shape: [4, 4, 4] })
  expect(countOutside(label, grid)).toEqual({ labelled: 120, outside: 120 - 4 * 4 * 4 })
  expect(countOutside(label, conformGeometry(label, DEFAULT_CONFORM))).toEqual({ labelled: 120, outside: 0 })
})

test('background counts for nothing', () => {
  const voxels = new Uint8Array(120)
  voxels[0] = 1
  voxels[119] = 3
  const grid = { shape: [3, 4, 5] as const, affine: IDENTITY }
  expect(countOutside({ ...label, voxels }, grid)).toEqual({ labelled: 2, outside: 1 })
  expect(countOutside({ ...label, voxels: new Uint8Array(120) }, grid)).toEqual({ labelled: 0, outside: 0 })
})

test('a grid of other voxels over the same field of view cuts off nothing', () => {
  const coarse = { shape: [3, 2, 3] as const, affine: [2, 0, 0, 0.5, 0, 2, 0, 0.5, 0, 0, 2, 0.5, 0, 0, 0, 1] }
  expect(countOutside(label, coarse).outside).toBe(0)
})
