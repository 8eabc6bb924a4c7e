import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { openDataset } from './open-dataset.js'
import { prepareDataset } from './prepare-dataset.js'
import { optionsFor, smallBrain, temporaryFolder, writeFolders, writeVolume } from './small-brains.test-support.js'

let out: string
beforeAll(async () => {
  const source = await temporaryFolder()
  await writeFolders(source, ['a', 'b', 'c'])
  out = join(await temporaryFolder(), 'out')
  await prepareDataset(optionsFor(source, out, { ratios: [1, 0, 0] }))
})

describe('openDataset', () => {
  test('opens a folder and the dataset.json in it alike', async () => {
    expect((await openDataset(join(out, 'dataset.json'))).path).toBe(out)
    expect((await openDataset(out)).cases().map(({ subject }) => subject)).toEqual(['a', 'b', 'c'])
  })

  test('notices a volume that was replaced, and one of another shape', async () => {
    const dataset = await openDataset(out)
    const [a, b, c] = dataset.cases()
    const shape = [16, 16, 16] as const
    await writeVolume(join(out, a!.image), smallBrain(9, shape).label, { shape })
    await writeVolume(join(out, b!.label), smallBrain(9).label)
    await writeFile(join(out, c!.image), (await readFile(join(out, c!.image))).subarray(0, 100))
    for (const [item, what] of [
      [a!, 'has changed'],
      [b!, '20x22x24'],
      [c!, 'cannot be read'],
    ] as const) {
      await expect(dataset.loadCase(item)).rejects.toMatchObject({
        code: 'DATASET_CORRUPT',
        message: expect.stringContaining(what),
      })
    }
  })

  test('refuses a manifest that names files outside its folder', async () => {
    const manifest = JSON.parse(await readFile(join(out, 'dataset.json'), 'utf8'))
    for (const path of ['../secret.nii', '/etc/passwd', 'images/../../x.nii', 'C:\\x.nii', '..\\x.nii']) {
      manifest.cases[0].image = path
      const folder = await temporaryFolder()
      await writeFile(join(folder, 'dataset.json'), JSON.stringify(manifest))
      await expect(openDataset(folder)).rejects.toMatchObject({ code: 'DATASET_CORRUPT' })
    }
  })

  test('refuses whatever is no manifest, and never fails in any other way', async () => {
    const folder = await temporaryFolder()
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.json()), async (text) => {
        await writeFile(join(folder, 'dataset.json'), text)
        await expect(openDataset(folder)).rejects.toMatchObject({ code: 'DATASET_CORRUPT' })
      }),
      { numRuns: 50 },
    )
  })

  test('says what to do where there is no dataset', async () => {
    await expect(openDataset(await temporaryFolder())).rejects.toMatchObject({
      code: 'DATASET_NOT_FOUND',
      hint: expect.stringContaining('meshfl split'),
    })
  })
})
