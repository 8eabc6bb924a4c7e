import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { IDENTITY, sameGrid } from './affine.js'
import { conformGeometry, conformImage, conformLabel, DEFAULT_CONFORM, restoreLabel } from './conform.js'
import { robustScale } from './intensity.js'
import { orientation } from './orientation.js'
import { resample } from './resample.js'
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
    expect(resample(ramp, shifted(0.5, 0, 0), 'linear').voxels[0]).toBeCloseTo(0.5, 6)
    expect(resample(ramp, shifted(1.25, 0.5, 1.75), 'linear').voxels[0]).toBeCloseTo(1.25 + 5 + 175, 4)
    expect(resample(ramp, shifted(2, 2, 2), 'linear').voxels[0]).toBe(222)
  })
  test('outside the outermost centres trilinear is 0; nearest reaches half a voxel further', () => {
    expect([...resample(ramp, shifted(-0.25, 1, 1, [3, 1, 1]), 'linear').voxels]).toEqual([0, 110.75, 111.75])
    expect([...resample(ramp, shifted(-0.25, 1, 1, [4, 1, 1]), 'nearest').voxels]).toEqual([110, 111, 112, 0])
    expect([...resample(ramp, shifted(-1, 1, 1, [3, 1, 1]), 'nearest').voxels]).toEqual([0, 110, 111])
  })
  test('a tie goes to the higher index, whatever noise the header has', () => {
    for (const noise of [-1e-5, 0, 1e-5])
      expect([...resample(ramp, shifted(0.5 + noise, 0, 0, [3, 1, 1]), 'nearest').voxels]).toEqual([1, 2, 0])
  })
  test('a grid that only turns and flips the axes changes no value', () => {
    const turned = { shape: [3, 3, 3] as const, affine: [0, -1, 0, 2, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1] }
    const linear = resample(ramp, turned, 'linear')
    expect([...linear.voxels].sort((a, b) => a - b)).toEqual([...ramp.voxels].sort((a, b) => a - b))
    expect(Int16Array.from(linear.voxels)).toEqual(resample(ramp, turned, 'nearest').voxels)
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
    const there = { ...resample(volume, grid, 'nearest'), storedType: 'uint8' }
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
})
