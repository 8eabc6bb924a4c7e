import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeNifti, parseVolume, type VoxelArray } from '@meshfl/volume'
import { expect, test } from 'vitest'
import { createSceneVolumes } from './scene-volumes.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-scene-volumes-'))
const always = () => true

/** With more than one volume, the others follow the first in the file. */
async function file(name: string, voxels: VoxelArray, ...more: VoxelArray[]): Promise<string> {
  const affine = [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]
  const encoded = Buffer.from(await encodeNifti({ shape: [2, 2, 2], affine, voxels }))
  if (more.length > 0) {
    encoded.writeInt16LE(4, 40)
    encoded.writeInt16LE(1 + more.length, 48)
  }
  const path = join(folder, name)
  writeFileSync(path, Buffer.concat([encoded, ...more.map(({ buffer }) => Buffer.from(buffer))]))
  return path
}

const voxelsOf = ({ nifti }: { nifti: Uint8Array }) => [...parseVolume(nifti, 'served', { kind: 'image' }).voxels]

test('NaN and infinity are shown as 0 and counted, in scans and label maps alike', async () => {
  const path = await file('nan.nii', Float32Array.from([Number.NaN, 0, 1, 1, Number.POSITIVE_INFINITY, 0, 1, 1]))
  const { image, label } = createSceneVolumes()
  for (const shown of [await image(path, always), await label(path, always)]) {
    expect(shown.info.zeroed).toBe(2)
    expect(voxelsOf(shown)).toEqual([0, 0, 1, 1, 0, 0, 1, 1])
  }
})

test('a file that was written anew has another version', async () => {
  const path = await file('anew.nii', Uint8Array.from([0, 1, 0, 1, 0, 1, 0, 1]))
  const { label } = createSceneVolumes()
  const { version } = (await label(path, always)).info
  expect((await label(path, always)).info.version).toBe(version)
  await file('anew.nii', Int16Array.from([0, 2, 0, 2, 0, 2, 0, 2]))
  const { info } = await label(path, always)
  expect(info.values.map(({ value }) => value)).toEqual([0, 2])
  expect(info.version).not.toBe(version)
})

test('of a file with several volumes the asked one is shown, and of one with a single volume that', async () => {
  const [first, second] = [Int16Array.from([0, 1, 2, 3, 4, 5, 6, 7]), Int16Array.from([7, 6, 5, 4, 3, 2, 1, 0])]
  const [one, two] = [await file('one.nii', first), await file('two.nii', first, second)]
  const { image, label } = createSceneVolumes(1)
  expect(voxelsOf(await image(two, always))).toEqual([...second])
  expect(voxelsOf(await label(two, always))).toEqual([...second])
  expect(voxelsOf(await image(one, always))).toEqual([...first])
  expect(voxelsOf(await label(one, always))).toEqual([...first])
})
