import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { applyAffine, IDENTITY, invertAffine, multiplyAffine, sameGrid, voxelSize, voxelVolumeMl } from './affine.js'
import { orientation, reorient } from './orientation.js'
import type { Shape, Volume } from './volume.js'

const number = fc.double({ min: -3, max: 3, noNaN: true })
const invertible = fc.tuple(...Array.from({ length: 12 }, () => number)).map((rows) => {
  const affine = [...rows, 0, 0, 0, 1]
  // a dominant diagonal keeps it away from singular
  for (const i of [0, 5, 10]) affine[i] = (affine[i] as number) + ((affine[i] as number) < 0 ? -7 : 7)
  return affine
})
const codes = ['R', 'A', 'S'].flatMap((a) =>
  ['R', 'A', 'S'].flatMap((b) => ['R', 'A', 'S'].map((c) => a + b + c).filter((code) => new Set(code).size === 3)),
)
const opposite: Record<string, string> = { R: 'L', A: 'P', S: 'I' }
const axcodes = fc
  .tuple(fc.constantFrom(...codes), fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()))
  .map(([code, flips]) => [...code].map((letter, i) => (flips[i] ? opposite[letter] : letter)).join(''))

function counting(shape: Shape, affine: readonly number[]): Volume<Uint16Array> {
  const voxels = Uint16Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, i) => i)
  return { shape, affine, voxels, storedType: 'uint16', slope: 1, intercept: 0 }
}

describe('affines', () => {
  test('an inverse undoes its affine', () => {
    fc.assert(
      fc.property(invertible, (affine) => {
        const product = multiplyAffine(invertAffine(affine), affine)
        for (const [i, value] of IDENTITY.entries()) expect(product[i]).toBeCloseTo(value, 9)
      }),
    )
  })
  test('a plane, a line and NaN have no inverse', () => {
    for (const affine of [
      [1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1],
      new Array<number>(16).fill(0),
      IDENTITY.map((value, i) => (i === 3 ? Number.NaN : value)),
    ])
      expect(() => invertAffine(affine)).toThrow(expect.objectContaining({ code: 'VOLUME_AFFINE_SINGULAR' }))
  })
  test('voxel sizes are the lengths of the columns, and their product is the volume where they are at right angles', () => {
    const affine = [0, -2, 0, 5, 3, 0, 0, 6, 0, 0, 4, 7, 0, 0, 0, 1]
    expect(voxelSize(affine)).toEqual([3, 2, 4])
    expect(voxelVolumeMl(affine)).toBeCloseTo(0.024, 12)
  })
  test('grids are the same only where every corner is', () => {
    const shape: Shape = [256, 256, 256]
    const a = { shape, affine: IDENTITY }
    expect(sameGrid(a, { shape, affine: [...IDENTITY] })).toBe(true)
    expect(sameGrid(a, { shape: [256, 256, 255], affine: IDENTITY })).toBe(false)
    // a 0.001 % larger voxel is 2.5 um off at the far corner, twice that is over the tolerance of 1 um once asked for
    const stretched = IDENTITY.map((value, i) => (i === 0 ? 1.00001 : value))
    expect(sameGrid(a, { shape, affine: stretched }, 3e-3)).toBe(true)
    expect(sameGrid(a, { shape, affine: stretched }, 1e-3)).toBe(false)
    expect(sameGrid(a, { shape, affine: IDENTITY.map((v, i) => (i === 7 ? Number.NaN : v)) })).toBe(false)
  })
})

describe('orientation', () => {
  test('names where the voxel axes point', () => {
    expect(orientation(IDENTITY)).toBe('RAS')
    expect(orientation([-1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1])).toBe('LIA')
  })
  test('a reoriented volume points where asked, keeps every voxel at its millimetres, and comes back the same', () => {
    fc.assert(
      fc.property(invertible, axcodes, fc.tuple(fc.nat(4), fc.nat(3), fc.nat(2)), (affine, code, index) => {
        const volume = counting([5, 4, 3], affine)
        const turned = reorient(volume, code)
        expect(orientation(turned.affine)).toBe(code)
        const value = index[0] + 5 * (index[1] + 4 * index[2])
        const at = turned.voxels.indexOf(value)
        const [nx, ny] = turned.shape
        const there = [at % nx, Math.floor(at / nx) % ny, Math.floor(at / (nx * ny))] as const
        const [p, q] = [applyAffine(volume.affine, index), applyAffine(turned.affine, there)]
        for (const axis of [0, 1, 2] as const) expect(q[axis]).toBeCloseTo(p[axis], 9)
        const back = reorient(turned, orientation(affine))
        expect(back.shape).toEqual(volume.shape)
        expect(back.voxels).toEqual(volume.voxels)
      }),
    )
  })
  test('a volume that points there already is itself', () => {
    const volume = counting([2, 2, 2], IDENTITY)
    expect(reorient(volume, 'ras')).toBe(volume)
  })
  test('what is no orientation is refused', () => {
    for (const code of ['', 'RA', 'RAX', 'RRS', 'RLS', 'RASR'])
      expect(() => reorient(counting([1, 1, 1], IDENTITY), code)).toThrow(
        expect.objectContaining({ code: 'USAGE_AXCODES' }),
      )
  })
})
