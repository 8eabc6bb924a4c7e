import { readFileSync } from 'node:fs'
import { gunzipSync, inflateSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { type ConformOptions, conformImage } from './conform.js'
import { robustScale } from './intensity.js'
import { orientation } from './orientation.js'
import { parseVolume } from './read-volume.js'
import { resample } from './resample.js'
import { resampleLabel } from './resample-label.js'
import type { Affine, Geometry, Shape } from './volume.js'

// Numbers of nibabel, numpy and scipy, frozen by fixtures/volume/make_volume.py.

const frozen = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../../../fixtures/volume/${name}`, import.meta.url), 'utf8')) as T
const bytes = (base64: string): Uint8Array => Buffer.from(base64, 'base64')

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(actual.length).toBe(expected.length)
  let worst = 0
  for (let i = 0; i < expected.length; i++)
    worst = Math.max(worst, Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? 0)))
  expect(worst).toBeLessThanOrEqual(tolerance)
}

interface FrozenFile {
  name: string
  file: string
  shape: Shape
  affine: number[]
  axcodes: string
  values: number[]
}

describe('files that nibabel wrote', () => {
  for (const { name, file, shape, affine, axcodes, values } of frozen<FrozenFile[]>('files.json')) {
    test(`${name}: shape, affine, orientation and values are nibabel's`, () => {
      const volume = parseVolume(bytes(file), name, { kind: 'image' })
      expect(volume.shape).toEqual(shape)
      // nibabel keeps the affine of an MGH file in float32
      expectClose(volume.affine, affine, name.startsWith('mgh') ? 5e-5 : 1e-6)
      expect(orientation(volume.affine)).toBe(axcodes)
      expectClose(volume.voxels, values, 0)
    })
  }
})

test("120 affines, oblique and sheared, have nibabel's orientation", () => {
  for (const { affine, axcodes } of frozen<{ affine: number[]; axcodes: string }[]>('orientations.json'))
    expect(orientation(affine)).toBe(axcodes)
})

interface FrozenResample extends Geometry {
  voxels: number[]
  target: Geometry
  nearest: number[]
  linear: number[]
}

describe('resampling between oblique grids', () => {
  for (const [i, frozenCase] of frozen<FrozenResample[]>('resample.json').entries()) {
    const { shape, affine, target, nearest, linear } = frozenCase
    const voxels = Int16Array.from(frozenCase.voxels)
    const volume = { shape, affine, voxels, storedType: 'int16', slope: 1, intercept: 0 }
    test(`case ${i}: trilinear values are scipy's`, () => {
      expectClose(resample(volume, target).voxels, linear, 1e-3)
    })
    test(`case ${i}: nearest values are scipy's`, () => {
      const result = resampleLabel(volume, target, 'target').voxels
      // scipy's order 0 leaves out the half voxel beyond the outermost centres, which we keep
      expect(result).toBeInstanceOf(Int16Array)
      const differing = nearest.filter((value, k) => value !== result[k] && value !== 0).length
      expect(differing).toBe(0)
    })
  }
})

interface FrozenConform {
  name: string
  file: string
  shape: Shape
  voxelSizeMm: number
  affine: Affine
  low: number
  scale: number
  freesurfer: string
  niivue: string
}

describe('conform against an independent reading of the published algorithm', () => {
  for (const frozenCase of frozen<FrozenConform[]>('conform.json')) {
    const { name, shape, voxelSizeMm, affine, low, scale } = frozenCase
    const volume = parseVolume(gunzipSync(bytes(frozenCase.file)), name, { kind: 'image' })
    test(`${name}: the robust scale is the same`, () => {
      const ours = robustScale(volume.voxels)
      expect(ours.low).toBeCloseTo(low, 4)
      expect(ours.scale / scale).toBeCloseTo(1, 6)
    })
    for (const mode of ['freesurfer', 'niivue'] satisfies ConformOptions['mode'][]) {
      test(`${name}, ${mode}: grid and voxels are the same`, () => {
        const conformed = conformImage(volume, { mode, shape, voxelSizeMm })
        expect(conformed.shape).toEqual(shape)
        expect(orientation(conformed.affine)).toBe('LIA')
        expectClose(conformed.affine, affine, 1e-9)
        const expected = inflateSync(bytes(frozenCase[mode]))
        // float32 intensities against doubles: a value at a rounding edge may fall to the other side, by one
        expectClose(conformed.voxels, expected, 1)
        const differing = conformed.voxels.filter((value, i) => value !== expected[i]).length
        expect(differing).toBeLessThanOrEqual(expected.length / 1000)
        expect(expected.filter((value) => value > 0).length).toBeGreaterThan(expected.length / 20)
      })
    }
  }
})
