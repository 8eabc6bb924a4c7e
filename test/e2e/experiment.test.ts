import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { type CliResult, cli, startCli, temporaryFolder } from './cli.js'
import { makeDataset, makeSource } from './made-brains.js'

let folder: string
let out: string
const words = (): string[] => [
  ...['experiment', join(folder, 'experiment.yaml'), '--out', out, '--device', 'wasm', '--json'],
]
const experiment = (): Promise<CliResult> => cli(words())
/** Ends as with Ctrl-C, once a round of the first training is done. */
async function interruptedExperiment(): Promise<void> {
  const running = startCli(words())
  await running.waitFor((event) => event.type === 'progress' && event.done > 0)
  running.child.kill('SIGINT')
  await running.ended
}
const describeArms = (arms: object, study: object = { rounds: 2 }, seeds = [0, 1]): void =>
  writeFileSync(
    join(folder, 'experiment.yaml'),
    JSON.stringify({ dataset: join(folder, 'dataset'), seeds, study, arms }),
  )
const result = () => JSON.parse(readFileSync(join(out, 'experiment.json'), 'utf8'))

let withDataset: string
beforeAll(async () => {
  withDataset = dirname(await makeDataset(2))
})
beforeEach(() => {
  folder = withDataset
  out = join(temporaryFolder('experiment'), 'out')
})

test('an experiment trains every arm with every seed, scores all on the same cases, and goes on where it was', async () => {
  describeArms({ central: { how: 'train' }, federated: { how: 'simulate' } })
  const first = await experiment()
  expect([first.code, first.last]).toMatchObject([
    0,
    { type: 'experiment', seeds: [0, 1], arms: [{ name: 'central', difference: null }, { name: 'federated' }] },
  ])
  const before = result()
  expect(before.arms.map((arm: { runs: object[] }) => arm.runs.length)).toEqual([2, 2])
  expect(
    new Set(before.arms.flatMap((arm: { runs: { modelSha256: string }[] }) => arm.runs.map((run) => run.modelSha256)))
      .size,
  ).toBe(4)

  // As a kill after two of the four trainings leaves it; one of the reports is lost besides.
  rmSync(join(out, 'federated'), { recursive: true })
  rmSync(join(out, 'central', 'seed-1', 'report-test'), { recursive: true })
  const again = await experiment()
  expect(again.code).toBe(0)
  const { created, ...same } = result()
  // That model was scored twice now.
  before.arms[0].runs[1].evaluations = 2
  before.notes = [expect.stringContaining('up to 2 times')]
  expect({ ...same, created: before.created }).toEqual(before)
  expect(readFileSync(join(out, 'experiment.html'), 'utf8')).toContain('up to 2 times')
})

test('what lies in its folder counts only as what the experiment made of the same arm', async () => {
  const arm = { one: { how: 'train' } }
  describeArms(arm, { rounds: 1 })
  expect((await experiment()).code).toBe(0)
  const made = (): unknown => result().arms[0].runs.map((run: { modelSha256: string }) => run.modelSha256)
  const before = made()
  const run = join(out, 'one', 'seed-0')

  describeArms({ one: { how: 'simulate' } }, { rounds: 1 })
  const otherKind = await experiment()
  expect([otherKind.code, otherKind.last]).toMatchObject([2, { code: 'EXPERIMENT_CHANGED' }])
  describeArms(arm, { rounds: 2 })
  const otherStudy = await experiment()
  expect([otherStudy.code, otherStudy.last]).toMatchObject([2, { code: 'EXPERIMENT_CHANGED' }])
  describeArms(arm, { rounds: 1 })

  await cli(['eval', run, '--data', join(folder, 'dataset'), '--empty', 'one', '--device', 'wasm', '--json'])
  writeFileSync(join(out, 'one', 'seed-1.json'), '{"how')
  expect((await experiment()).code).toBe(0)
  expect(made()).toEqual(before)
  const { conventions } = JSON.parse(readFileSync(join(run, 'report-test', 'report.json'), 'utf8'))
  expect(conventions).toEqual({ empty: 'nan' })

  cpSync(join(out, 'one', 'seed-1', 'best.safetensors'), join(run, 'best.safetensors'))
  const otherModel = await experiment()
  expect([otherModel.code, otherModel.last]).toMatchObject([2, { code: 'EXPERIMENT_CHANGED' }])
  rmSync(run, { recursive: true })
  expect((await experiment()).code).toBe(0)
  expect(made()).toEqual(before)
})

/** A dataset of one site with the scans of a folder. */
async function splitInto(name: string, source: string, ratios: string): Promise<void> {
  const grid = ['--shape', '16', '--voxel-size', '12']
  const asked = ['split', source, '--out', join(folder, name), '--ratios', ratios, '--sites', '1', ...grid, '--json']
  expect((await cli(asked)).code).toBe(0)
}

test.each(['train', 'simulate'])('a %s that was interrupted does not go on with another dataset', async (how) => {
  folder = temporaryFolder('interrupted')
  const source = await makeSource(4, 9)
  for (const name of ['dataset', 'one']) await splitInto(name, source, '0.5,0.25,0.25')
  await splitInto('all', source, '1,0,0')
  describeArms({ arm: { how, dataset: './one' } }, { rounds: 100_000 }, [0])
  await interruptedExperiment()

  describeArms({ arm: { how, dataset: './all' } }, { rounds: 100_000 }, [0])
  const other = await experiment()
  expect([other.code, other.last]).toMatchObject([
    2,
    { code: 'EXPERIMENT_CHANGED', message: expect.stringContaining('on another dataset') },
  ])
  expect(existsSync(join(out, 'experiment.json'))).toBe(false)

  // Taken away, it is trained anew.
  rmSync(join(out, 'arm', 'seed-0'), { recursive: true })
  describeArms({ arm: { how, dataset: './all' } }, { rounds: 1 }, [0])
  expect((await experiment()).code).toBe(0)
})

test('cases that were dealt again while an experiment ran are not scored as those that it began with', async () => {
  folder = temporaryFolder('dealt-again')
  const source = await makeSource(4, 9)
  for (const name of ['dataset', 'one']) await splitInto(name, source, '0.5,0.25,0.25')
  describeArms({ arm: { how: 'train', dataset: './one' } }, { rounds: 150 }, [0])
  const running = startCli(words())
  await running.waitFor((event) => event.type === 'progress' && event.done > 0)
  const file = join(folder, 'dataset', 'dataset.json')
  const manifest = JSON.parse(readFileSync(file, 'utf8'))
  for (const one of manifest.cases) if (one.split === 'valid') one.split = 'test'
  writeFileSync(file, JSON.stringify(manifest))
  const { code, last } = await running.ended
  expect([code, last]).toMatchObject([2, { code: 'EXPERIMENT_CHANGED' }])
  expect(existsSync(join(out, 'arm', 'seed-0', 'report-test', 'report.json'))).toBe(false)
})

test('a federation of which nothing says what it was trained on is not gone on with', async () => {
  describeArms({ one: { how: 'simulate' } }, { rounds: 100_000 }, [0])
  await interruptedExperiment()
  rmSync(join(out, 'one', 'seed-0.json'))
  const refused = await experiment()
  expect([refused.code, refused.last]).toMatchObject([2, { code: 'EXPERIMENT_CHANGED' }])
})

test('an arm that was trained on what is scored says so in the report', async () => {
  folder = temporaryFolder('overlap')
  const source = await makeSource(4, 9)
  await splitInto('dataset', source, '0.5,0.25,0.25')
  await splitInto('all', source, '1,0,0')
  const unfair = { dataset: './all' }
  describeArms(
    { fair: { how: 'train' }, unfair: { how: 'train', ...unfair }, federated: { how: 'simulate', ...unfair } },
    { rounds: 1 },
  )
  const { code } = await experiment()
  expect(code).toBe(0)
  const told = (arm: string): unknown =>
    expect.stringMatching(`^${arm}, seeds 0, 1: The model was trained on scans that it is scored on here`)
  expect(result().notes).toEqual([told('unfair'), told('federated')])

  // Of a run whose checkpoint was deleted, and its report lost, it is known still.
  for (const name of ['checkpoint.safetensors', 'report-test'])
    rmSync(join(out, 'unfair', 'seed-0', name), { recursive: true })
  expect((await experiment()).code).toBe(0)
  expect(result().notes).toEqual([expect.stringContaining('up to 2 times'), told('unfair'), told('federated')])
})

test('the validation of a cross-validation is not the same in all folds, and nothing to compare arms on', async () => {
  folder = temporaryFolder('folds')
  const source = await makeSource(6, 9)
  await cli(['split', source, '--out', join(folder, 'dataset'), '--folds', '2', '--shape', '16', '--voxel-size', '12'])
  const file = { dataset: './dataset', split: 'valid', arms: { one: { how: 'train', study: { fold: 0 } } } }
  writeFileSync(join(folder, 'experiment.yaml'), JSON.stringify(file))
  const refused = await experiment()
  expect([refused.code, refused.last]).toMatchObject([2, { code: 'EXPERIMENT_INVALID' }])
})

test.each([
  ['EXPERIMENT_INVALID', 2, { one: { how: 'fly' } }],
  ['DATASET_NOT_FOUND', 3, { one: { how: 'train', dataset: './none' } }],
  ['STUDY_INVALID', 2, { one: { how: 'simulate', study: { fold: 0 } } }],
  ['SIMULATE_NO_SITES', 2, { one: { how: 'simulate', dataset: './dataset/sites/site-1' } }],
])('an experiment that cannot be is refused before anything is trained: %s', async (code, exitCode, arms) => {
  describeArms({ central: { how: 'train' }, ...arms })
  const refused = await experiment()
  expect([refused.code, refused.last]).toMatchObject([exitCode, { type: 'error', code }])
  expect(existsSync(join(out, 'central', 'seed-0'))).toBe(false)
})
