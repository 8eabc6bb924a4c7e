import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatasetManifest } from '@meshfl/dataset'
import { expect, test } from 'vitest'
import { openRunFolder } from './run-folder.js'
import { studyForRun } from './study-for-run.js'

const dataset = (labelMap: string, conform: Partial<DatasetManifest['conform']> = {}): DatasetManifest =>
  ({
    conform: { mode: 'freesurfer', shape: [32, 32, 32], voxelSizeMm: 4, ...conform },
    labelMap: { name: labelMap, classes: ['background', 'white matter', 'grey matter'].map((name) => ({ name })) },
  }) as DatasetManifest

test('a run goes on with scans that were prepared as those that it began with, and with no others', async () => {
  const run = join(mkdtempSync(join(tmpdir(), 'meshfl-study-')), 'run')
  const begun = await studyForRun(run, { rounds: 7 }, dataset('gw3'))
  ;(await openRunFolder(run, begun, 'train')).log.close()

  expect(await studyForRun(run, {}, dataset('gw3'))).toEqual(begun)
  expect(await studyForRun(run, {})).toEqual(begun)
  const others: [DatasetManifest, string][] = [
    [dataset('gw3', { voxelSizeMm: 8 }), 'voxelSizeMm is 4 in the run, 8 in the dataset'],
    [dataset('gw3', { shape: [16, 16, 16] }), 'conform.shape is [32,32,32] in the run, [16,16,16] in the dataset'],
    [dataset('gw3', { mode: 'niivue' }), 'conform.mode is "freesurfer" in the run, "niivue" in the dataset'],
    [dataset('mine'), 'labelMap is "gw3" in the run, "mine" in the dataset'],
  ]
  for (const [other, words] of others) {
    await expect(studyForRun(run, {}, other)).rejects.toMatchObject({
      code: 'DATASET_STUDY_MISMATCH',
      message: expect.stringContaining(words),
    })
  }
})

test('a run on scans as they lie keeps which way they lay, and goes on with no others', async () => {
  const run = join(mkdtempSync(join(tmpdir(), 'meshfl-study-')), 'run')
  const lying = (orientation: string) => dataset('gw3', { mode: 'none', orientation })
  const begun = await studyForRun(run, {}, lying('RAS'))
  expect(begun.conform).toEqual({ mode: 'none', shape: [32, 32, 32], orientation: 'RAS' })
  ;(await openRunFolder(run, begun, 'train')).log.close()
  expect(await studyForRun(run, {}, lying('RAS'))).toEqual(begun)
  await expect(studyForRun(run, {}, lying('LIA'))).rejects.toMatchObject({ code: 'DATASET_STUDY_MISMATCH' })
  expect((await studyForRun(`${run}-2`, {}, dataset('gw3', { orientation: 'LIA' }))).conform).not.toHaveProperty(
    'orientation',
  )
})
