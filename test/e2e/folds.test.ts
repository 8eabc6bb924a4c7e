import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { type CliResult, cli, temporaryFolder } from './cli.js'
import { makeSource } from './made-brains.js'

let dataset: string
/** One round on fold 1. */
let run: string

const train = (out: string, ...words: string[]): Promise<CliResult> =>
  cli(['train', dataset, '--out', out, '--json', ...words])

beforeAll(async () => {
  dataset = join(temporaryFolder('dataset'), 'dataset')
  run = join(temporaryFolder('run'), 'run')
  const options = ['--shape', '16', '--voxel-size', '12', '--ratios', '0.5,0.25,0.25', '--folds', '3']
  const split = await cli(['split', await makeSource(8), '--out', dataset, ...options, '--json'])
  expect(split.last).toMatchObject({ type: 'dataset', cases: 8, splits: { train: 6, valid: 0, test: 2 }, folds: 3 })
  expect((await train(run, '--fold', '1', '--rounds', '1')).code).toBe(0)
}, 120_000)

const subjects = (fold: number): string[] =>
  JSON.parse(readFileSync(join(dataset, 'dataset.json'), 'utf8'))
    .cases.filter((item: { fold?: number }) => item.fold === fold)
    .map((item: { id: string }) => item.id)

const scored = (out: string) => JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))

test('a run keeps its fold: it goes on without being told, and is refused with another', async () => {
  expect(readFileSync(join(run, 'study.yaml'), 'utf8')).toMatch(/^fold: 1$/m)
  const other = await train(run, '--fold', '2')
  expect([other.code, other.last]).toMatchObject([
    2,
    { code: 'RUN_STUDY_MISMATCH', message: expect.stringContaining('fold is 1 there and 2 here') },
  ])
  expect((await train(run)).last).toMatchObject({ type: 'done', rounds: 1 })
})

test('the run is scored on the validation of its own fold, and on another one where that is asked for', async () => {
  const out = join(temporaryFolder('report'), 'report')
  const words = ['eval', run, '--data', dataset, '--split', 'valid', '--out', out, '--json']
  expect((await cli(words)).code).toBe(0)
  expect(scored(out).dataset.name).toBe('scans (fold 1)')
  expect(scored(out).cases.map((item: { subject: string }) => item.subject)).toEqual(subjects(1))
  const other = await cli([...words, '--fold', '0'])
  expect(scored(out).cases.map((item: { subject: string }) => item.subject)).toEqual(subjects(0))
  expect(JSON.stringify(other.events)).toContain('The model was trained on scans that it is scored on here')
})

test('a run that begins with the model of another fold has learned from its own validation, and says so then and when it is scored', async () => {
  const out = join(temporaryFolder('from'), 'run')
  const begun = await train(out, '--fold', '0', '--from', run, '--rounds', '1')
  const warning = expect.stringContaining(
    `The model was trained on scans that it is scored on here: ${subjects(0).join(', ')}.`,
  )
  expect(begun.events).toContainEqual(expect.objectContaining({ type: 'log', level: 'warn', message: warning }))
  const report = join(temporaryFolder('report'), 'report')
  const words = ['eval', out, '--data', dataset, '--split', 'valid', '--out', report, '--json']
  expect((await cli(words)).events).toContainEqual(expect.objectContaining({ level: 'warn', message: warning }))
})

test('a fold that is needed and not named, or not there, is a mistake of usage, and nothing is written', async () => {
  const out = join(temporaryFolder('refused'), 'run')
  const file = join(run, 'latest.safetensors')
  const study = join(run, 'study.yaml')
  const results = await Promise.all([
    train(out),
    train(out, '--fold', '3'),
    cli(['eval', file, '--data', dataset, '--split', 'valid', '--out', out, '--json']),
    cli(['eval', run, '--data', dataset, '--split', 'test', '--fold', '1', '--out', out, '--json']),
    cli(['serve', '--study', study, '--out', out, '--bind', 'tcp://127.0.0.1:0', '--json']),
  ])
  expect(results.map(({ code, last }) => [code, (last as { code?: string }).code])).toEqual([
    [2, 'FOLD_INVALID'],
    [2, 'FOLD_INVALID'],
    [2, 'FOLD_INVALID'],
    [2, 'USAGE_OPTION'],
    [2, 'STUDY_INVALID'],
  ])
  for (const name of ['study.yaml', 'report.json', 'events.jsonl']) expect(existsSync(join(out, name))).toBe(false)
})

test('the test split is the same in every fold, and scoring it again is marked as such', async () => {
  const out = join(temporaryFolder('test'), 'report')
  const words = ['eval', run, '--data', dataset, '--split', 'test', '--out', out, '--json']
  expect((await cli(words)).code).toBe(0)
  expect(scored(out)).toMatchObject({ evaluations: 1, dataset: { name: 'scans' } })
  expect(scored(out).cases).toHaveLength(2)
  expect((await cli(words)).code).toBe(0)
  expect(scored(out).evaluations).toBe(2)
})
