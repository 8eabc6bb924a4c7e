import { reorient, type Volume } from '@meshfl/volume'
import { expect, test } from 'vitest'
import { conformScan } from './conform-scan.js'

const scan: Volume = {
  shape: [4, 5, 6],
  affine: [2, 0, 0, -7, 0, 2, 0, 3, 0, 0, 2, 1, 0, 0, 0, 1],
  voxels: Float32Array.from({ length: 120 }, (_, i) => i),
  storedType: 'float32',
  slope: 1,
  intercept: 0,
}
const trained = (conform: { mode: 'none' | 'freesurfer'; orientation?: string }, voxelSizeMm = 2) => ({
  classNames: ['background', 'tissue'],
  voxelSizeMm,
  conform: { shape: [4, 5, 6] as [number, number, number], ...conform },
})

test('without conforming, a scan is segmented as the scans of the dataset lay, whichever way it lies itself', () => {
  const model = trained({ mode: 'none', orientation: 'RAS' })
  const upright = conformScan(scan, model, {})
  for (const axcodes of ['LIA', 'PSR', 'SAL']) {
    const turned = conformScan(reorient(scan, axcodes), model, {})
    expect(turned).toEqual({ conformed: upright.conformed, warnings: [] })
  }
})

test('a model that learned from conformed scans has their orientation, also where a scan is not conformed for it', () => {
  const { conformed } = conformScan(scan, trained({ mode: 'freesurfer' }), { mode: 'none' })
  expect(conformed.affine).toEqual(reorient(scan, 'LIA').affine)
})

test('another voxel size is a warning where nothing is resampled, but for the rounding of a header', () => {
  const warningsAt = (mm: number, mode: 'none' | 'freesurfer' = 'none') =>
    conformScan(scan, trained({ mode, orientation: 'RAS' }, mm), {}).warnings
  expect(warningsAt(1)).toEqual([expect.stringContaining('its voxels are 2 x 2 x 2 mm')])
  expect(warningsAt(2.001)).toEqual([])
  expect(warningsAt(1, 'freesurfer')).toEqual([])
})

test('a model file that does not say which way its scans lay is a warning', () => {
  const { conformed, warnings } = conformScan(scan, trained({ mode: 'none' }), {})
  expect(conformed.affine).toEqual(scan.affine)
  expect(warnings).toEqual([expect.stringContaining('segmented as it lies (RAS)')])
})
