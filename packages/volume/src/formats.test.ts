import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { crc32, gunzipSync } from 'node:zlib'
import { MeshflError } from '@meshfl/core'
import { describe, expect, test } from 'vitest'
import { dataBytes, parseHeader } from './header.js'
import { orientation, reorient } from './orientation.js'
import { readGeometry, readVolume } from './read-volume.js'
import type { Volume } from './volume.js'

// Files of other projects, which are not kept in this repository; what nibabel says of them is frozen in fixtures/volume/formats.json.

const FOLDER = fileURLToPath(new URL('../../../../shared/data/formats/', import.meta.url))
const present = existsSync(FOLDER)
const reason = present ? '' : ` (skipped: no ${FOLDER})`

interface Said {
  shape: number[]
  volumes: number
  affine: number[]
  axcodes: string
  notFinite: number
  sum: number
  ordered: number
}
const frozen = JSON.parse(
  readFileSync(new URL('../../../fixtures/volume/formats.json', import.meta.url), 'utf8'),
) as Record<string, Said>

function sums({ voxels }: Volume): { sum: number; ordered: number } {
  let sum = 0
  let ordered = 0
  for (let i = 0; i < voxels.length; i++) {
    const value = voxels[i] as number
    sum += value
    ordered += value * (i % 1009)
  }
  return { sum, ordered }
}

const BAD_CRC = 'bert_brain_badgzipcrc.mgz'

describe.skipIf(!present)(`files of other projects read as nibabel reads them${reason}`, () => {
  for (const [name, said] of Object.entries(frozen)) {
    if (name === BAD_CRC || name.startsWith('orientations-48')) continue
    test(name, async () => {
      const path = `${FOLDER}${name}`
      const geometry = await readGeometry(path)
      expect(geometry.volumes).toBe(said.volumes)
      expect(geometry.shape).toEqual(said.shape)
      // what reads affines in float32 has this much noise at 100 mm
      for (const [i, value] of said.affine.entries()) expect(geometry.affine[i]).toBeCloseTo(value, 4)
      expect(orientation(geometry.affine)).toBe(said.axcodes)
      const volume = await readVolume(path, { kind: 'image', volume: 0, nanToZero: true })
      expect(volume.zeroed ?? 0).toBe(said.notFinite)
      const { sum, ordered } = sums(volume)
      const magnitude = Math.max(1, Math.abs(said.ordered))
      expect(Math.abs(sum - said.sum) / magnitude).toBeLessThan(1e-6)
      expect(Math.abs(ordered - said.ordered) / magnitude).toBeLessThan(1e-6)
      if (said.notFinite > 0) await expectCode(readVolume(path, { kind: 'image', volume: 0 }), 'VOLUME_NOT_FINITE')
      if (said.volumes > 1) await expectCode(readVolume(path, { kind: 'image' }), 'VOLUME_NOT_3D')
    })
  }
})

async function expectCode(promise: Promise<unknown>, code: string): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(MeshflError)
  expect((error as MeshflError).code).toBe(code)
}

describe.skipIf(!present)(`files that must be refused are, with words${reason}`, () => {
  const refused: Record<string, string> = {
    [BAD_CRC]: 'VOLUME_BAD_CRC',
    'nibabel/analyze.hdr': 'VOLUME_NOT_RECOGNIZED',
    'nibabel/nifti1.hdr': 'FILE_NOT_FOUND',
    'nibabel/nifti2.hdr': 'FILE_NOT_FOUND',
    'nifti-clib-test-data/rand.hdr': 'VOLUME_NOT_RECOGNIZED',
    'nifti-clib-test-data/rand_nifti.hdr': 'VOLUME_NOT_RECOGNIZED',
    'nifti-rs/complex/complex32.nii': 'VOLUME_TYPE_UNSUPPORTED',
    'nifti-rs/complex/complex64.nii': 'VOLUME_TYPE_UNSUPPORTED',
    'nifti-rs/rgb/3D.nii': 'VOLUME_TYPE_UNSUPPORTED',
    'nifti-rs/rgb/4D.nii': 'VOLUME_TYPE_UNSUPPORTED',
    'nifti-rs/rgba/4D.nii': 'VOLUME_TYPE_UNSUPPORTED',
    'npm-nifti-reader-js/not-nifti.nii': 'VOLUME_NOT_RECOGNIZED',
    'no-such-file.nii.gz': 'FILE_NOT_FOUND',
    nibabel: 'FILE_NOT_READABLE',
  }
  for (const [name, code] of Object.entries(refused)) {
    test(`${name}: ${code}`, () => expectCode(readVolume(`${FOLDER}${name}`, { kind: 'image' }), code))
  }
  test('files that crashed another reader', async () => {
    const folder = `${FOLDER}nifti-rs/fuzz_artifacts/`
    const names = readdirSync(folder)
    expect(names.length).toBeGreaterThan(0)
    for (const name of names)
      await expectCode(readVolume(`${folder}${name}`, { kind: 'image' }), 'VOLUME_NOT_RECOGNIZED')
  })
})

test.skipIf(!present)(
  `one volume stored in 48 orientations is the same volume after reorientation${reason}`,
  async () => {
    const folder = `${FOLDER}orientations-48/`
    const reference = await readVolume(`${folder}RAS.nii.gz`, { kind: 'image' })
    const names = readdirSync(folder)
    expect(names).toHaveLength(48)
    for (const name of names) {
      const volume = await readVolume(`${folder}${name}`, { kind: 'image' })
      expect(`${orientation(volume.affine)}.nii.gz`).toBe(name)
      const again = reorient(volume, 'RAS')
      expect(again.shape).toEqual(reference.shape)
      expect(Buffer.compare(bytesOf(again), bytesOf(reference))).toBe(0)
      for (const [i, value] of reference.affine.entries()) expect(again.affine[i]).toBeCloseTo(value, 3)
    }
  },
)

function bytesOf({ voxels }: Volume): Uint8Array {
  return new Uint8Array(voxels.buffer, voxels.byteOffset, voxels.byteLength)
}

describe.skipIf(!present)(`image bytes have the CRC-32 that NIFTI-Reader-JS's tests give${reason}`, () => {
  const published: Record<string, number> = {
    'avg152T1_LR_nifti2.nii.gz': 471047545,
    'big.nii.gz': 3243691439,
    'little.nii.gz': 4006845507,
    '5D_zeros.nii.gz': 2980574675,
  }
  for (const [name, crc] of Object.entries(published)) {
    test(name, async () => {
      const file = gunzipSync(await readFile(`${FOLDER}npm-nifti-reader-js/${name}`))
      const header = parseHeader(file, name)
      expect(crc32(file.subarray(header.dataOffset, header.dataOffset + dataBytes(header)))).toBe(crc)
    })
  }
})
