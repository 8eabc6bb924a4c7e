import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
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

  test('a call that was cut short makes what is missing, and one for more adds to it', async () => {
    const out = join(folder, 'cut')
    const stop = new AbortController()
    const cut = makeBrains({ out, count: 3, ...GRID, signal: stop.signal, onProgress: () => stop.abort() })
    await expect(cut).rejects.toThrow('aborted')
    await rm(join(out, 'labels', 'sub-01.nii.gz')) // as a kill between the two files leaves it
    await makeBrains({ out, count: 3, ...GRID })
    const touched = (await stat(join(out, 'images', 'sub-02.nii.gz'))).mtimeMs
    await makeBrains({ out, count: 4, ...GRID, contrast: 1 }) // 1 is what was not asked for before
    expect((await stat(join(out, 'images', 'sub-02.nii.gz'))).mtimeMs).toBe(touched)
    expect((await readdir(join(out, 'labels'))).length).toBe(4)
    for (const kind of ['images', 'labels'])
      for (const name of ['sub-01.nii.gz', 'sub-03.nii.gz'])
        expect((await readFile(join(out, kind, name))).equals(await readFile(join(folder, 'a', kind, name)))).toBe(true)
  })

  test.each([
    ['of another seed', { seed: 8 }],
    ['with more noise', { noise: 0.1 }],
    ['fewer than are there', { count: 1 }],
    ['so many that names get another digit', { count: 100 }],
  ])('brains %s do not go into the same folder', async (_, other) => {
    const out = join(folder, 'b')
    await expect(makeBrains({ out, count: 2, ...GRID, ...other })).rejects.toMatchObject({ code: 'BRAINS_EXIST' })
    expect((await readdir(join(out, 'images'))).length).toBe(2)
  })

  test.each([
    ['images/scan.nii.gz', 'mine'],
    ['labels/scan.nii.gz', 'mine'],
    ['brains.json', 'mine'],
    ['brains.json', 'null'],
  ])("a folder with somebody's own %s (%s) is left alone", async (path, content) => {
    const out = await mkdtemp(join(folder, 'own-'))
    await mkdir(dirname(join(out, path)), { recursive: true })
    await writeFile(join(out, path), content)
    await expect(makeBrains({ out, count: 2, ...GRID })).rejects.toMatchObject({ code: 'BRAINS_EXIST' })
    expect(await readFile(join(out, path), 'utf8')).toBe(content)
  })

  test('a grid that no head fits leaves no folder behind', async () => {
    const out = join(folder, 'none')
    await expect(makeBrains({ out, count: 1, ...GRID, voxelSizeMm: 1e9 })).rejects.toMatchObject({
      code: 'SYNTHESIS_GRID',
    })
    expect(existsSync(out)).toBe(false)
  })
})
