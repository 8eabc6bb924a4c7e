import { appendFile, mkdir, readdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { DatasetManifest } from './manifest.js'
import { openDataset } from './open-dataset.js'
import { prepareDataset } from './prepare-dataset.js'
import {
  hashTree,
  optionsFor,
  readManifest,
  smallBrain,
  sourceOf,
  temporaryFolder,
  writeVolume,
} from './small-brains.test-support.js'

const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']

describe('an interrupted run', () => {
  test('continues where it stopped, with the same bytes as one that was never stopped', async () => {
    const source = await sourceOf(IDS)
    const folder = await temporaryFolder()
    const [out, whole] = [join(folder, 'out'), join(folder, 'whole')]
    const abort = new AbortController()
    const stopped = prepareDataset(
      optionsFor(source, out, {
        sites: 2,
        workers: 1,
        signal: abort.signal,
        onProgress: ({ done }) => done === 3 && abort.abort(),
      }),
    )
    await expect(stopped).rejects.toMatchObject({ code: 'INTERRUPTED', exitCode: 130 })
    await expect(openDataset(out)).rejects.toMatchObject({ code: 'DATASET_NOT_FOUND' })
    // A crash: a journal line cut short, a temporary file, a volume that is not what was recorded.
    await appendFile(join(out, 'split.journal.jsonl'), '{"id":"e","sou')
    await writeFile(join(out, '.staging/images/.meshfl-tmp-0123-x.nii.gz'), 'x')
    await truncate(join(out, '.staging/labels/b.nii.gz'), 50)
    await prepareDataset(optionsFor(source, out, { sites: 2 }))
    await prepareDataset(optionsFor(source, whole, { sites: 2 }))
    expect(await hashTree(out)).toEqual(await hashTree(whole))
  })

  test('that was killed while it locked its folder is begun anew', async () => {
    const source = await sourceOf(['a', 'b'])
    const out = join(await temporaryFolder(), 'out')
    await mkdir(out)
    for (const name of ['.lock', '.lock-0123456789abcdef']) await writeFile(join(out, name), '{}')
    expect((await prepareDataset(optionsFor(source, out))).manifest.cases).toHaveLength(2)
    await mkdir(`${out}-2`)
    await writeFile(join(`${out}-2`, 'thesis.docx'), '')
    await expect(prepareDataset(optionsFor(source, `${out}-2`))).rejects.toMatchObject({ code: 'DATASET_EXISTS' })
  })

  test('stops while pictures are drawn, too, and the next with other sites leaves nothing of it', async () => {
    const source = await sourceOf(IDS)
    const folder = await temporaryFolder()
    const [out, whole] = [join(folder, 'out'), join(folder, 'whole')]
    const abort = new AbortController()
    const onProgress = ({ task, done }: { task: string; done: number }): void =>
      task === 'qc' && done === 2 ? abort.abort() : undefined
    const stopped = prepareDataset(optionsFor(source, out, { sites: 3, signal: abort.signal, onProgress }))
    await expect(stopped).rejects.toMatchObject({ code: 'INTERRUPTED', exitCode: 130 })
    await expect(openDataset(out)).rejects.toMatchObject({ code: 'DATASET_NOT_FOUND' })
    await prepareDataset(optionsFor(source, out, { sites: 2 }))
    await prepareDataset(optionsFor(source, whole, { sites: 2 }))
    expect(await hashTree(out)).toEqual(await hashTree(whole))
    expect(await readdir(join(out, 'sites'))).toEqual(['site-1', 'site-2'])
  })

  test('takes conformed cases as they are, and conforms again what has changed', async () => {
    const source = await sourceOf(IDS)
    const out = join(await temporaryFolder(), 'out')
    const first = await prepareDataset(optionsFor(source, out))
    const before = await hashTree(out)
    const written = async (): Promise<number[]> =>
      Promise.all(first.manifest.cases.map(async ({ image }) => (await stat(join(out, image))).mtimeMs))
    const times = await written()
    const again = await prepareDataset(optionsFor(source, out))
    expect(again).toEqual(first)
    expect(await written()).toEqual(times)
    expect(await hashTree(out)).toEqual(before)
    await writeVolume(join(source, 'images/c.nii.gz'), smallBrain(99).image)
    const changed = await prepareDataset(optionsFor(source, out))
    const differing = changed.manifest.cases.filter(
      (item, i) => item.imageSha256 !== first.manifest.cases[i]!.imageSha256,
    )
    expect(differing.map(({ subject }) => subject)).toEqual(['c'])
  })

  test('conforms a pair again whose header has changed, by whichever of its names the table has it', async () => {
    const source = await sourceOf(['a', 'b'])
    for (const id of ['a', 'b']) {
      const bytes = gunzipSync(await readFile(join(source, 'images', `${id}.nii.gz`)))
      bytes.write('ni1\0', 344, 'latin1')
      bytes.writeFloatLE(0, 108)
      await writeFile(join(source, `${id}.hdr`), bytes.subarray(0, 348))
      await writeFile(join(source, `${id}.img`), bytes.subarray(352))
    }
    await writeFile(
      join(source, 'cases.csv'),
      'subject,image,label\na,a.img,labels/a.nii.gz\nb,b.hdr,labels/b.nii.gz\n',
    )
    const out = join(await temporaryFolder(), 'out')
    const first = await prepareDataset(optionsFor(source, out))
    for (const id of ['a', 'b']) {
      const header = await readFile(join(source, `${id}.hdr`))
      header.writeFloatLE(header.readFloatLE(292) + 8, 292) // 8 mm to the right
      await writeFile(join(source, `${id}.hdr`), header)
    }
    const second = await prepareDataset(optionsFor(source, out))
    expect(second.leftOut).toEqual([])
    for (const [i, item] of second.manifest.cases.entries())
      expect(item.source.affine[3]).toBe(first.manifest.cases[i]!.source.affine[3]! + 8)
  })

  test('that cannot write is an error of the run, not of its cases', async () => {
    const source = await sourceOf(IDS)
    const out = join(await temporaryFolder(), 'out')
    const abort = new AbortController()
    const onProgress = ({ done }: { done: number }): void => (done === 1 ? abort.abort() : undefined)
    await prepareDataset(optionsFor(source, out, { workers: 1, signal: abort.signal, onProgress })).catch(
      () => undefined,
    )
    await rm(join(out, '.staging'), { recursive: true })
    await writeFile(join(out, '.staging'), 'a file where a folder is needed')
    await expect(prepareDataset(optionsFor(source, out))).rejects.toMatchObject({ code: 'PATH_NOT_WRITABLE' })
    await expect(openDataset(out)).rejects.toMatchObject({ code: 'DATASET_NOT_FOUND' })
  })

  test('that moved some volumes into place is finished by the next', async () => {
    const source = await sourceOf(IDS)
    const out = join(await temporaryFolder(), 'out')
    await prepareDataset(optionsFor(source, out, { sites: 2 }))
    const before = await hashTree(out)
    await rm(join(out, 'dataset.json'))
    await mkdir(join(out, '.staging/images'), { recursive: true })
    await rename(
      join(out, 'sites/site-1/images', `${await firstOf(out)}.nii.gz`),
      join(out, '.staging/images', `${await firstOf(out)}.nii.gz`),
    )
    await prepareDataset(optionsFor(source, out, { sites: 2 }))
    expect(await hashTree(out)).toEqual(before)
  })
})

/** The first case of site-1, by its own manifest. */
async function firstOf(out: string): Promise<string> {
  return (await readManifest(join(out, 'sites/site-1'))).cases[0]!.subject
}

describe('an output folder', () => {
  test('that holds another dataset is not touched', async () => {
    const source = await sourceOf(IDS)
    const out = join(await temporaryFolder(), 'out')
    await prepareDataset(optionsFor(source, out))
    const before = await hashTree(out)
    await expect(prepareDataset(optionsFor(source, out, { seed: 1 }))).rejects.toMatchObject({ code: 'DATASET_EXISTS' })
    expect(await hashTree(out)).toEqual(before)
  })

  test('is not dealt anew: a model that was trained on it would be tested on what it has learned from', async () => {
    const source = await sourceOf(IDS)
    const out = join(await temporaryFolder(), 'out')
    await prepareDataset(optionsFor(source, out))
    // As by a version that dealt otherwise.
    const manifest = await readManifest(out)
    const [one, other] = ['train', 'test'].map((split) => manifest.cases.find((item) => item.split === split)!)
    one!.split = 'test'
    other!.split = 'train'
    await writeFile(join(out, 'dataset.json'), JSON.stringify(manifest))
    const before = await hashTree(out)
    await expect(prepareDataset(optionsFor(source, out))).rejects.toMatchObject({
      code: 'DATASET_DEALT_ANEW',
      message: expect.stringContaining(`${one!.subject} from test to train`),
    })
    expect(await hashTree(out)).toEqual(before)
  })

  test.skipIf(process.platform === 'win32')('whose files cannot be read stops the run with the file', async () => {
    const source = await sourceOf(IDS)
    const folder = await temporaryFolder()
    const out = join(folder, 'out')
    const { manifest } = await prepareDataset(optionsFor(source, out))
    const { image } = manifest.cases[0]!
    await rm(join(out, image))
    await symlink(join(out, image), join(out, image)) // a loop: nobody can open it, not even root
    const refused = (file: string) => ({ code: 'FILE_NOT_READABLE', message: expect.stringContaining(join(out, file)) })
    await expect(prepareDataset(optionsFor(source, out))).rejects.toMatchObject(refused(image))
    await rm(join(out, 'split.journal.jsonl'))
    await mkdir(join(out, 'split.journal.jsonl'))
    await expect(prepareDataset(optionsFor(source, out))).rejects.toMatchObject(refused('split.journal.jsonl'))
  })

  test('that holds other files is not touched', async () => {
    const out = await temporaryFolder()
    await writeFile(join(out, 'thesis.txt'), 'x')
    await expect(prepareDataset(optionsFor(await sourceOf(['a']), out))).rejects.toMatchObject({
      code: 'DATASET_EXISTS',
    })
    expect(Object.keys(await hashTree(out))).toEqual(['thesis.txt'])
  })

  test('is not made by a dry run, which shows the same split', async () => {
    const source = await sourceOf(IDS)
    const out = join(await temporaryFolder(), 'out')
    const plan = await prepareDataset(optionsFor(source, out, { sites: 2, dryRun: true }))
    expect(await hashTree(out).catch(() => null)).toBeNull()
    const made = await prepareDataset(optionsFor(source, out, { sites: 2 }))
    const places = ({ cases }: DatasetManifest) => cases.map(({ image, split, site }) => [image, split, site])
    expect(places(plan.manifest)).toEqual(places(made.manifest))
  })
})
