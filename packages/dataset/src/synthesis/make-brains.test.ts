import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { orientation, readVolume, sameGrid } from '@meshfl/volume'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeBrains } from './make-brains.js'

const GRID = { shape: [24, 24, 24], voxelSizeMm: 8, seed: 7 } as const

describe('makeBrains', () => {
  let folder: string
  const progress: string[] = []
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'meshfl-synthesis-'))
    await makeBrains({
      out: join(folder, 'a'),
      count: 3,
      ...GRID,
      onProgress: (n, count) => progress.push(`${n}/${count}`),
    })
    await makeBrains({ out: join(folder, 'b'), count: 2, ...GRID })
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test('images and labels of a subject bear one name in two parallel folders', async () => {
    const names = ['sub-01.nii.gz', 'sub-02.nii.gz', 'sub-03.nii.gz']
    expect((await readdir(join(folder, 'a', 'images'))).sort()).toEqual(names)
    expect((await readdir(join(folder, 'a', 'labels'))).sort()).toEqual(names)
    expect(progress).toEqual(['1/3', '2/3', '3/3'])
  })

  test('the files read back as one LIA grid of bytes with the three classes', async () => {
    const image = await readVolume(join(folder, 'a', 'images', 'sub-01.nii.gz'), { kind: 'image' })
    const label = await readVolume(join(folder, 'a', 'labels', 'sub-01.nii.gz'), { kind: 'label' })
    expect(image.shape).toEqual([24, 24, 24])
    expect(image.storedType).toBe('uint8')
    expect(orientation(image.affine)).toBe('LIA')
    expect(sameGrid(image, label)).toBe(true)
    expect(new Set(label.voxels)).toEqual(new Set([0, 1, 2]))
    expect(Math.max(...image.voxels)).toBeGreaterThan(120)
  })

  test('fewer brains of the same seed are the first ones of more, byte for byte; subjects differ', async () => {
    const read = (run: string, n: number): Promise<Buffer> => readFile(join(folder, run, 'images', `sub-0${n}.nii.gz`))
    expect((await read('b', 1)).equals(await read('a', 1))).toBe(true)
    expect((await read('b', 2)).equals(await read('a', 2))).toBe(true)
    expect((await read('a', 1)).equals(await read('a', 2))).toBe(false)
  })
})
