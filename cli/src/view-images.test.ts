import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeNifti } from '@meshfl/volume'
import { expect, test } from 'vitest'
import { imageScene } from './view-images.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-view-images-'))

async function file(name: string, volumes: number): Promise<string> {
  const affine = [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]
  const header = Buffer.from(await encodeNifti({ shape: [2, 2, 2], affine, voxels: new Uint8Array(8) }))
  if (volumes > 1) {
    header.writeInt16LE(4, 40)
    header.writeInt16LE(volumes, 48)
  }
  const path = join(folder, name)
  writeFileSync(path, Buffer.concat([header, new Uint8Array(8 * (volumes - 1))]))
  return path
}

test('a volume is asked of the files that have several', async () => {
  const [one, four] = [await file('one.nii', 1), await file('four.nii', 4)]
  for (const [image, label] of [
    [four, one],
    [one, four],
  ] as const) {
    expect((await imageScene({ image, labels: [label], volume: 3 })).scene.labels).toHaveLength(1)
    await expect(imageScene({ image, labels: [label], volume: 4 })).rejects.toThrow('it has no volume 4')
    await expect(imageScene({ image, labels: [label] })).rejects.toThrow('one is needed')
  }
})

test('a volume that no file has is told', async () => {
  const [one, other] = [await file('1.nii', 1), await file('2.nii', 1)]
  await expect(imageScene({ image: one, labels: [other], volume: 1 })).rejects.toThrow('it has no volume 1')
})

test('a table beside a label map that is no table of ours leaves it without names', async () => {
  const [image, label] = [await file('scan.nii', 1), await file('label.nii', 1)]
  for (const text of ['image,label,white (mL)\n"a', 'a;b\n"x"y"\n', '\0\0']) {
    writeFileSync(join(folder, 'volumes.csv'), text)
    expect((await imageScene({ image, labels: [label] })).scene.labels[0]).not.toHaveProperty('classNames')
  }
  writeFileSync(join(folder, 'volumes.csv'), 'image,label,white (mL)\nscan.nii,label.nii,1\n')
  expect((await imageScene({ image, labels: [label] })).scene.labels[0]).toMatchObject({
    classNames: { 0: 'background', 1: 'white' },
  })
})
