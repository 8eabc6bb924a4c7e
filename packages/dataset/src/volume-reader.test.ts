import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dataset, openDataset } from './open-dataset.js'
import { prepareDataset } from './prepare-dataset.js'
import { makeBrains } from './synthesis/index.js'
import { createVolumeReader, type VolumeReader } from './volume-reader.js'

let folder: string
let path: string
let reader: VolumeReader
let threaded: Dataset

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'meshfl-reader-'))
  const source = join(folder, 'scans')
  const shape = [16, 16, 16] as const
  await makeBrains({ out: source, count: 3, seed: 1, shape, voxelSizeMm: 12 })
  path = join(folder, 'dataset')
  await prepareDataset({
    ...{ source, out: path, labelMap: 'gw3', ratios: [1, 0, 0], partition: 'iid', seed: 0, toolVersion: 'test' },
    conform: { mode: 'freesurfer', shape, voxelSizeMm: 12 },
    signal: new AbortController().signal,
    onProgress: () => undefined,
  } as Parameters<typeof prepareDataset>[0])
  reader = createVolumeReader()
  threaded = await openDataset(path, reader)
})
afterAll(async () => {
  reader.close()
  await rm(folder, { recursive: true })
})

test('a thread of its own reads the same voxels, asked for one by one or all at once', async () => {
  const here = await openDataset(path)
  const cases = here.cases()
  const expected = await Promise.all(cases.map((item) => here.loadCase(item)))
  expect(await Promise.all(cases.map((item) => threaded.loadCase(item)))).toEqual(expected)
  expect(await threaded.loadCase(cases[0]!)).toEqual(expected[0])
})

test('a volume that changed or is no volume is refused by name, and the next one is read', async () => {
  const [first, second, third] = threaded.cases()
  const fresh = await openDataset(path, reader) // compares hashes anew
  const file = join(path, first!.image)
  const whole = await readFile(file)
  await writeFile(file, whole.subarray(0, whole.length / 2))
  const other = join(path, second!.label)
  await writeFile(other, await readFile(join(path, third!.label)))
  const corrupt = (named: string) => ({
    code: 'DATASET_CORRUPT',
    message: expect.stringContaining(named),
    kind: 'data',
  })
  await expect(fresh.loadCase(first!)).rejects.toMatchObject(corrupt(first!.image))
  await expect(fresh.loadCase(second!)).rejects.toMatchObject(corrupt(second!.label))
  await expect(fresh.loadCase(third!)).resolves.toBeDefined()
})

test('a reader that was closed says so', async () => {
  const closed = createVolumeReader()
  closed.close()
  await new Promise((resolve) => setTimeout(resolve, 0))
  const opened = await openDataset(path, closed)
  const never = opened.loadCase(opened.cases()[2]!)
  await expect(never).rejects.toThrow(/closed|ended/)
})
