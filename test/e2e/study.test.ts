import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cli, temporaryFolder } from './cli.js'
import { makeSource } from './made-brains.js'

test('a dataset of two classes trains, and a study file stands beside what the dataset says', async () => {
  const folder = temporaryFolder('study')
  const file = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }
  const codes = [1, 2, 3, 41, 42]
  const classes = [
    { value: 0, name: 'background', codes: [0] },
    { value: 1, name: 'brain', codes },
  ]
  const map = file('brain.json', JSON.stringify({ name: 'brain', classes }))
  const dataset = join(folder, 'dataset')
  const shape = ['--shape', '16', '--voxel-size', '12', '--ratios', '0.5,0.5,0']
  const split = await cli(['split', await makeSource(2), '--out', dataset, '--label-map', map, ...shape, '--json'])
  expect(split.last).toMatchObject({ type: 'dataset', cases: 2 })
  const run = join(folder, 'run')
  const channels = file('channels.yaml', 'rounds: 1\nmodel:\n  channels: 3\n')
  const trained = await cli(['train', dataset, '--out', run, '--study', channels, '--json'])
  expect(trained.last).toMatchObject({ type: 'done', rounds: 1 })
  const study = readFileSync(join(run, 'study.yaml'), 'utf8')
  for (const line of ['  classes: 2', '  channels: 3', 'labelMap: brain', '  - brain']) expect(study).toContain(line)

  const other = file('other.yaml', 'labelMap: gw3\n')
  const refused = await cli(['train', dataset, '--out', `${run}-2`, '--study', other, '--json'])
  expect(refused).toMatchObject({ code: 3, last: { type: 'error', code: 'DATASET_STUDY_MISMATCH' } })
})

test('a study that gives the classes other names or another order than the dataset is refused before anything is written', async () => {
  const folder = temporaryFolder('named')
  const dataset = join(folder, 'dataset')
  const shape = ['--shape', '16', '--voxel-size', '12', '--ratios', '0.5,0.5,0']
  expect((await cli(['split', await makeSource(2), '--out', dataset, ...shape])).code).toBe(0)
  const run = join(folder, 'run')
  const study = join(folder, 'turned.yaml')
  writeFileSync(study, 'rounds: 1\nclassNames: [background, grey matter, white matter]\n')
  const { code, last } = await cli(['train', dataset, '--out', run, '--study', study, '--json'])
  expect(code).toBe(3)
  const message = expect.stringContaining(
    'background, white matter, grey matter (gw3), the study background, grey matter',
  )
  expect(last).toMatchObject({ type: 'error', code: 'DATASET_STUDY_MISMATCH', message })
  expect(existsSync(run)).toBe(false)
})

test('nothing to train on is told before anything is written', async () => {
  const folder = temporaryFolder('untrained')
  const dataset = join(folder, 'dataset')
  const options = ['--shape', '16', '--voxel-size', '12', '--ratios', '0,0.5,0.5']
  expect((await cli(['split', await makeSource(2), '--out', dataset, ...options])).code).toBe(0)
  const run = join(folder, 'run')
  const trained = await cli(['train', dataset, '--out', run, '--json'])
  expect(trained).toMatchObject({ code: 3, last: { type: 'error', code: 'TRAINING_NO_CASES' } })
  const state = join(folder, 'state')
  const joined = await cli(['join', 'mfl1:nobody.example:1/key/secret', '--data', dataset, '--out', state, '--json'])
  expect(joined).toMatchObject({ code: 3, last: { type: 'error', code: 'TRAINING_NO_CASES' } })
  expect([run, state].filter(existsSync)).toEqual([])
})
