import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { explainReadError } from '@meshfl/core'
import { describe, expect, test } from 'vitest'
import { prepareDataset } from './prepare-dataset.js'
import { hashTree, optionsFor, sourceOf, temporaryFolder } from './small-brains.test-support.js'
import { onceMoreAfterEio } from './source-away.js'

const IDS = ['a', 'b', 'c', 'd', 'e', 'f']

describe('a source that goes away while it is split', () => {
  test.each([
    ['as a whole', ''],
    ['in the part that holds the images', 'images'],
  ])('%s stops the work, and the same command goes on when it is back', async (_, part) => {
    const source = await sourceOf(IDS)
    const folder = await temporaryFolder()
    const [out, whole, gone] = [join(folder, 'out'), join(folder, 'whole'), join(folder, 'gone')]
    const onProgress = ({ task, done }: { task: string; done: number }): void => {
      if (task === 'conform' && done === 2) renameSync(join(source, part), gone)
    }
    await expect(prepareDataset(optionsFor(source, out, { workers: 1, onProgress }))).rejects.toMatchObject({
      code: 'FILE_SERVER_AWAY',
      exitCode: 3,
    })
    expect(existsSync(join(out, 'dataset.json'))).toBe(false)
    await rename(gone, join(source, part))
    await prepareDataset(optionsFor(source, out))
    await prepareDataset(optionsFor(source, whole))
    expect(await hashTree(out)).toEqual(await hashTree(whole))
  })

  test('and leaves the empty folder that it was mounted on stops the work, too', async () => {
    const source = await sourceOf(IDS)
    const folder = await temporaryFolder()
    const onProgress = ({ task, done }: { task: string; done: number }): void => {
      if (task !== 'conform' || done !== 2) return
      renameSync(source, join(folder, 'gone'))
      mkdirSync(source)
    }
    const run = prepareDataset(optionsFor(source, join(folder, 'out'), { workers: 1, onProgress }))
    await expect(run).rejects.toMatchObject({ code: 'FILE_SERVER_AWAY' })
  })
})

test('a single file that is gone, and a folder of a table that never was, are errors of their cases', async () => {
  const source = await sourceOf(IDS)
  const rows = IDS.map((id) => `${id},${id === 'b' ? 'nowhere' : 'images'}/${id}.nii.gz,labels/${id}.nii.gz`)
  await writeFile(join(source, 'cases.csv'), `subject,image,label\n${rows.join('\n')}\n`)
  const onProgress = ({ done }: { done: number }): void => {
    const file = join(source, 'images/f.nii.gz')
    if (done === 1 && existsSync(file)) renameSync(file, `${file}.gone`)
  }
  const out = join(await temporaryFolder(), 'out')
  const { leftOut } = await prepareDataset(optionsFor(source, out, { workers: 1, onProgress }))
  expect(leftOut).toMatchObject([
    { subject: 'b', code: 'FILE_NOT_FOUND' },
    { subject: 'f', code: 'FILE_NOT_FOUND' },
  ])
})

test('what could not be read for EIO is read once more, and nothing else is', async () => {
  const attempts = async (code: string, failures: number): Promise<[number, unknown]> => {
    let calls = 0
    const end = await onceMoreAfterEio(async () => {
      if (++calls <= failures) throw explainReadError(Object.assign(new Error(code), { code }), 'scan.nii')
      return 'read'
    }).catch((error: unknown) => error)
    return [calls, end]
  }
  expect(await attempts('EIO', 1)).toEqual([2, 'read'])
  expect(await attempts('EIO', 2)).toMatchObject([2, { code: 'FILE_NOT_READABLE' }])
  expect(await attempts('EACCES', 1)).toMatchObject([1, { code: 'FILE_NOT_READABLE' }])
})
