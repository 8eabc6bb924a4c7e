import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { applyAffine, IDENTITY, sameGrid } from './affine.js'
import { conformGeometry, conformImage, conformLabel, DEFAULT_CONFORM, restoreLabel } from './conform.js'
import { robustScale } from './intensity.js'
import { orientation, reorient } from './orientation.js'
import { resample } from './resample.js'
import { refineLabel, resampleLabel } from './resample-label.js'
import type { Shape, Volume, VoxelArray } from './volume.js'

function volumeOf<T extends VoxelArray>(voxels: T, shape: Shape, affine: readonly number[] = IDENTITY): Volume<T> {
  return { shape, affine, voxels, storedType: 'int16', slope: 1, intercept: 0 }
}

describe('resampling', () => {
  // value = x + 10 y + 100 z, which trilinear interpolation reproduces exactly
  const ramp = volumeOf(
    Int16Array.from({ length: 27 }, (_, i) => (i % 3) + 10 * (Math.floor(i / 3) % 3) + 100 * Math.floor(i / 9)),
    [3, 3, 3],
  )
  const shifted = (x: number, y: number, z: number, shape: Shape = [1, 1, 1]) => ({
    shape,
    affine: [1, 0, 0, x, 0, 1, 0, y, 0, 0, 1, z, 0, 0, 0, 1],
  })
  test('trilinear values between voxels, by hand', () => {
    expect(resample(ramp, shifted(0.5, 0, 0)).voxels[0]).toBeCloseTo(0.5, 6)
    expect(resample(ramp, shifted(1.25, 0.5, 1.75)).voxels[0]).toBeCloseTo(1.25 + 5 + 175, 4)
    expect(resample(ramp, shifted(2, 2, 2)).voxels[0]).toBe(222)
  })
  test('outside the outermost centres trilinear is 0; nearest reaches half a voxel further', () => {
    expect([...resample(ramp, shifted(-0.25, 1, 1, [3, 1, 1])).voxels]).toEqual([0, 110.75, 111.75])
    expect([...resampleLabel(ramp, shifted(-0.25, 1, 1, [4, 1, 1]), 'target').voxels]).toEqual([110, 111, 112, 0])
    expect([...resampleLabel(ramp, shifted(-1, 1, 1, [3, 1, 1]), 'target').voxels]).toEqual([0, 110, 111])
  })
  test('a point halfway between two voxels goes up the axes of the target or down those of the source, whatever noise the header has', () => {
    const backwards = { shape: [3, 1, 1] as const, affine: [-1, 0, 0, 1.5, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }
    for (const noise of [-1e-5, 0, 1e-5]) {
      const halfway = shifted(0.5 + noise, 0, 0, [3, 1, 1])
      expect([...resampleLabel(ramp, halfway, 'target').voxels]).toEqual([1, 2, 0])
      expect([...resampleLabel(ramp, halfway, 'source').voxels]).toEqual([0, 1, 2])
    }
    expect([...resampleLabel(ramp, backwards, 'target').voxels]).toEqual([1, 0, 0])
    expect([...resampleLabel(ramp, backwards, 'source').voxels]).toEqual([1, 0, 0])
  })
  test('on a finer grid a voxel gets the label that weighs most around it, and the outermost reach half a voxel further', () => {
    // 1 1 / 1 2 in the plane, at 4 points a voxel
    const label = volumeOf(Uint8Array.of(1, 1, 1, 2), [2, 2, 1])
    const finer = {
      shape: [8, 8, 1] as const,
      affine: [0.25, 0, 0, -0.375, 0, 0.25, 0, -0.375, 0, 0, 1, 0, 0, 0, 0, 1],
    }
    const { voxels } = refineLabel(label, finer, 'source')
    // 2 weighs x y, which is above a half only where both are above 0.7
    const expected = Uint8Array.from({ length: 64 }, (_, i) => {
      const [x, y] = [-0.375 + 0.25 * (i % 8), -0.375 + 0.25 * Math.floor(i / 8)]
      return Math.min(Math.max(x, 0), 1) * Math.min(Math.max(y, 0), 1) > 0.5 ? 2 : 1
    })
    expect(voxels).toEqual(expected)
    expect([...expected].filter((value) => value === 2).length).toBe(15)
  })
  test('a finer grid gets no label that is not there, and all of one label where that is everywhere', () => {
    const grid = { shape: [9, 8, 7] as const, affine: [0.4, 0.1, 0, -0.2, -0.1, 0.4, 0, 0.1, 0, 0, 0.5, 0, 0, 0, 0, 1] }
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 27, maxLength: 27, min: 1 }), (voxels) => {
        const refined = refineLabel(volumeOf(voxels, [3, 3, 3]), grid, 'source').voxels
        expect([...new Set(refined)].filter((value) => value !== 0 && !voxels.includes(value))).toEqual([])
        const inside = resampleLabel(volumeOf(voxels, [3, 3, 3]), grid, 'source').voxels
        expect(refined.map((value) => (value === 0 ? 0 : 1))).toEqual(inside.map((value) => (value === 0 ? 0 : 1)))
      }),
    )
    const one = volumeOf(new Uint8Array(27).fill(3), [3, 3, 3])
    expect(refineLabel(one, grid, 'source')).toEqual(resampleLabel(one, grid, 'source'))
  })
  test('a grid that only turns and flips the axes changes no value', () => {
    const turned = { shape: [3, 3, 3] as const, affine: [0, -1, 0, 2, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1] }
    const linear = resample(ramp, turned)
    expect([...linear.voxels].sort((a, b) => a - b)).toEqual([...ramp.voxels].sort((a, b) => a - b))
    expect(Int16Array.from(linear.voxels)).toEqual(resampleLabel(ramp, turned, 'target').voxels)
  })
})

describe('robust scale', () => {
  test('the brightest thousandth of the voxels that are not 0 is cropped', () => {
    // 0..9999 once each: 9 voxels may be lost, which is less than the 10 of a bin; two edges below the top
    const { low, scale } = robustScale(Float64Array.from({ length: 10000 }, (_, i) => i))
    expect(low).toBe(0)
    expect(255 / scale).toBeCloseTo((998 * 9999) / 1000, 6)
  })
  test('a constant image becomes white, or stays black where it is 0', () => {
    const options = { ...DEFAULT_CONFORM, shape: [2, 2, 2] as const }
    expect([
      ...conformImage(
        volumeOf(
          Int16Array.from({ length: 8 }, () => 7),
          [2, 2, 2],
        ),
        options,
      ).voxels,
    ]).toContain(255)
    expect(conformImage(volumeOf(new Int16Array(8), [2, 2, 2]), options).voxels).toEqual(new Uint8Array(8))
  })
})

describe('conform', () => {
  test('the default grid is 256^3, 1 mm, LIA, with the centre of the field of view where it was', () => {
    const source = { shape: [120, 100, 90] as const, affine: [2, 0, 0, -7, 0, 2, 0, 11, 0, 0, 2, 3, 0, 0, 0, 1] }
    const { shape, affine } = conformGeometry(source, DEFAULT_CONFORM)
    expect(shape).toEqual([256, 256, 256])
    expect(orientation(affine)).toBe('LIA')
    // centre of the source: 2 * 60 - 7, 2 * 50 + 11, 2 * 45 + 3
    expect(affine).toEqual([-1, 0, 0, 113 + 128, 0, 0, 1, 111 - 128, 0, -1, 0, 93 + 128, 0, 0, 0, 1])
    expect(sameGrid(conformGeometry({ shape, affine }, DEFAULT_CONFORM), { shape, affine }, 1e-9)).toBe(true)
  })
  test('mode none keeps the grid and spreads the intensities', () => {
    const volume = volumeOf(Int16Array.of(-100, 0, 100, 410), [4, 1, 1])
    const conformed = conformImage(volume, { ...DEFAULT_CONFORM, mode: 'none' })
    expect(conformed.affine).toBe(volume.affine)
    expect([...conformed.voxels]).toEqual([0, 50, 100, 255])
  })
  test('plain uint8 voxels that stay where they are stay what they are, without a copy', () => {
    const voxels = Uint8Array.of(3, 200, 7, 9)
    const volume = { ...volumeOf(voxels, [4, 1, 1]), storedType: 'uint8' }
    expect(conformImage(volume, { ...DEFAULT_CONFORM, mode: 'none' }).voxels).toBe(voxels)
    const grid = conformGeometry(volume, { ...DEFAULT_CONFORM, shape: [4, 4, 4] })
    const there = { ...resampleLabel(volume, grid, 'target'), storedType: 'uint8' }
    expect(conformImage(there, { ...DEFAULT_CONFORM, shape: [4, 4, 4] }).voxels).toBe(there.voxels)
    expect(conformLabel(there, grid)).toBe(there)
  })
  test('uint8 voxels with a scaling are rescaled all the same', () => {
    const volume = { ...volumeOf(Float32Array.of(0, 2, 4, 6), [4, 1, 1]), storedType: 'uint8', slope: 2 }
    expect([...conformImage(volume, { ...DEFAULT_CONFORM, mode: 'none' }).voxels]).toEqual([0, 85, 170, 255])
  })
  test('a grid without voxels or size is refused', () => {
    for (const options of [
      { ...DEFAULT_CONFORM, voxelSizeMm: 0 },
      { ...DEFAULT_CONFORM, voxelSizeMm: Number.NaN },
      { ...DEFAULT_CONFORM, shape: [0, 1, 1] as const },
      { ...DEFAULT_CONFORM, shape: [1.5, 1, 1] as const },
    ])
      expect(() => conformGeometry(volumeOf(new Int16Array(1), [1, 1, 1]), options)).toThrow(
        expect.objectContaining({ code: 'USAGE_CONFORM' }),
      )
  })
  test('labels that go to a finer grid and back are the same labels on the same grid', () => {
    const direction = fc.constantFrom(
      [1, 0, 0, 0, 1, 0, 0, 0, 1],
      [0, -1, 0, 0, 0, 1, -1, 0, 0],
      [0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, -1],
    )
    const size = fc.double({ min: 1.8, max: 3, noNaN: true })
    fc.assert(
      fc.property(
        direction,
        size,
        fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 3, maxLength: 3 }),
        (d, mm, t) => {
          const affine = [0, 1, 2].flatMap((row) => [
            ...d.slice(row * 3, row * 3 + 3).map((v) => v * mm),
            t[row] as number,
          ])
          const native = { shape: [6, 5, 7] as const, affine: [...affine, 0, 0, 0, 1] }
          const label = {
            ...volumeOf(
              Uint8Array.from({ length: 210 }, (_, i) => (i * 7) % 5),
              native.shape,
              native.affine,
            ),
          }
          const conformed = conformLabel(label, conformGeometry(native, { ...DEFAULT_CONFORM, shape: [48, 48, 48] }))
          const restored = restoreLabel(conformed, native)
          expect(restored.shape).toEqual(native.shape)
          expect(restored.affine).toEqual(native.affine)
          expect(restored.voxels).toEqual(label.voxels)
        },
      ),
      { numRuns: 60, seed: 3 },
    )
  })
  const AXCODES = ['RAS', 'LPS', 'LPI', 'LIA', 'PSR', 'ASL', 'SRA', 'IPR'] as const
  const shapes = fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: 3, max: 8 }))) as fc.Arbitrary<
    [number, number, number]
  >
  const stored = (shape: Shape, mm: number, seed: number, axcodes: string): Volume<Uint8Array> => {
    const voxels = Uint8Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, i) => ((i + seed) * 40_503) % 5)
    const affine = [mm, 0, 0, 3, 0, mm, 0, -7, 0, 0, mm, 11, 0, 0, 0, 1]
    return reorient(volumeOf(voxels, shape, affine), axcodes) as Volume<Uint8Array>
  }
  test('labels of voxels as large as the grid’s come back as they were, also where the two grids lie half a voxel apart', () => {
    fc.assert(
      fc.property(
        shapes,
        fc.nat(99),
        fc.constantFrom(...AXCODES),
        fc.constantFrom(1, 2),
        (shape, seed, axcodes, mm) => {
          const label = stored(shape, mm, seed, axcodes)
          const grid = conformGeometry(label, { ...DEFAULT_CONFORM, shape: [24, 24, 24], voxelSizeMm: mm })
          const { voxels } = restoreLabel(conformLabel(label, grid), label)
          expect(Buffer.compare(voxels, label.voxels)).toBe(0)
        },
      ),
    )
  })
  test('the same labels, stored in any order of axes, are conformed to the same voxels', () => {
    fc.assert(
      fc.property(shapes, fc.nat(99), fc.constantFrom(1, 2), (shape, seed, mm) => {
        // One grid for all: the centre of the field of view (index shape / 2) is another place where axes are turned round.
        const conform = (axcodes: string) => conformLabel(stored(shape, mm, seed, axcodes), grid)
        const grid = conformGeometry(stored(shape, mm, seed, 'RAS'), { ...DEFAULT_CONFORM, shape: [24, 24, 24] })
        const first = conform('RAS').voxels
        for (const axcodes of AXCODES) expect(Buffer.compare(conform(axcodes).voxels, first), axcodes).toBe(0)
      }),
      { numRuns: 30 },
    )
  })
  test('what was segmented in larger voxels comes back without a shift', () => {
    const shape: Shape = [33, 32, 31]
    const [cx, cy, cz, radius] = [16, 15, 14.5, 10.3]
    const ball = Uint8Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, i) => {
      const [x, y, z] = [i % shape[0], Math.floor(i / shape[0]) % shape[1], Math.floor(i / (shape[0] * shape[1]))]
      return Math.hypot(x - cx, y - cy, z - cz) < radius ? 1 : 0
    })
    for (const axcodes of AXCODES) {
      const label = reorient(volumeOf(ball, shape), axcodes) as Volume<Uint8Array>
      const grid = conformGeometry(label, { ...DEFAULT_CONFORM, shape: [20, 20, 20], voxelSizeMm: 2 })
      const back = restoreLabel(conformLabel(label, grid), label)
      const [was, is] = [centre(label), centre(back)]
      // What the larger voxels hold already lies beside the scan by as much as half a small one.
      const [expected] = [centre(conformLabel(label, grid))]
      for (const axis of [0, 1, 2]) expect(Math.abs(is[axis]! - expected[axis]!)).toBeLessThan(0.15)
      for (const axis of [0, 1, 2]) expect(Math.abs(is[axis]! - was[axis]!)).toBeLessThan(0.6)
    }
  })
})

/** Of all voxels that are 1, in mm. */
function centre({ voxels, shape, affine }: Volume): [number, number, number] {
  const sums: [number, number, number] = [0, 0, 0]
  let count = 0
  for (let i = 0; i < voxels.length; i++) {
    if (voxels[i] !== 1) continue
    const point = applyAffine(affine, [
      i % shape[0],
      Math.floor(i / shape[0]) % shape[1],
      Math.floor(i / (shape[0] * shape[1])),
    ])
    for (const axis of [0, 1, 2] as const) sums[axis] += point[axis]
    count++
  }
  return sums.map((sum) => sum / count) as [number, number, number]
}
