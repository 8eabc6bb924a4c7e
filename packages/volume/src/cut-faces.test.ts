import fc from 'fast-check'
import { expect, test } from 'vitest'
import { IDENTITY } from './affine.js'
import { conformGeometry, DEFAULT_CONFORM } from './conform.js'
import { cutFaces } from './cut-faces.js'
import { reorient } from './orientation.js'
import { resampleLabel } from './resample-label.js'
import type { Geometry, Shape, Volume } from './volume.js'

const whole: Geometry = { shape: [8, 8, 8], affine: IDENTITY }

/** Voxels of a grid of 4 x 4 x 4 in the middle of `whole`. */
function inside(voxels: Uint8Array): Volume {
  const affine = [1, 0, 0, 2, 0, 1, 0, 2, 0, 0, 1, 2, 0, 0, 0, 1]
  return { shape: [4, 4, 4], affine, voxels, storedType: 'uint8', slope: 1, intercept: 0 }
}

function at(...indices: [number, number, number][]): Uint8Array {
  const voxels = new Uint8Array(64)
  for (const [x, y, z] of indices) voxels[x + 4 * (y + 4 * z)] = 1
  return voxels
}

test('what touches a face behind which the scan goes on is cut off there, by the name of the face', () => {
  const voxels = at([0, 1, 1], [0, 2, 1], [1, 1, 1], [2, 3, 2], [1, 1, 0])
  expect(cutFaces(inside(voxels), whole)).toEqual([
    { face: 'left', voxels: 2 },
    { face: 'anterior', voxels: 1 },
    { face: 'inferior', voxels: 1 },
  ])
  expect(cutFaces(inside(at([1, 1, 1], [2, 2, 2])), whole)).toEqual([])
})

test('the faces have the same names whichever way the axes of the grid point', () => {
  const axes = fc.shuffledSubarray([0, 1, 2], { minLength: 3 })
  const flips = fc.tuple(fc.boolean(), fc.boolean(), fc.boolean())
  fc.assert(
    fc.property(axes, flips, fc.uint8Array({ minLength: 64, maxLength: 64, max: 1 }), (order, flip, voxels) => {
      const axcodes = order.map((axis) => (flip[axis] ? 'LPI' : 'RAS')[axis]).join('')
      const sorted = (label: Volume) => cutFaces(label, whole).sort((a, b) => (a.face < b.face ? -1 : 1))
      expect(sorted(reorient(inside(voxels), axcodes))).toEqual(sorted(inside(voxels)))
    }),
  )
})

test('a grid of the scan’s own field of view, or a larger one, cuts off nothing', () => {
  const scan: Volume = { ...inside(new Uint8Array(64).fill(1)), affine: IDENTITY }
  expect(cutFaces(scan, scan)).toEqual([])
  const grid = conformGeometry(scan, { ...DEFAULT_CONFORM, shape: [8, 8, 8] })
  expect(cutFaces(resampleLabel(scan, grid, 'target'), scan)).toEqual([])
})

test('of a grid of larger voxels, the neighbour beyond the face is what must lie in the scan', () => {
  // Two voxels of 2 mm along x, over 0 to 3 mm of the scan's -0.5 to 7.5: what lies beyond to the right only is cut off.
  const shape: Shape = [2, 4, 4]
  const affine = [2, 0, 0, 0.5, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
  const label = { ...inside(new Uint8Array(32).fill(1)), shape, affine }
  expect(cutFaces(label, whole)).toEqual([
    { face: 'right', voxels: 16 },
    { face: 'anterior', voxels: 8 },
    { face: 'superior', voxels: 8 },
  ])
})
