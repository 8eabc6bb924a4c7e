import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MeshflEvent } from '@meshfl/core'
import { beforeAll, expect, test } from 'vitest'
import { cli, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

let dataset = ''
beforeAll(async () => {
  dataset = await makeDataset(1)
}, 60_000)

const isRound = (event: MeshflEvent): boolean => event.type === 'round-finished'

test('two trainings do not work in one folder: the second is refused and leaves the first alone', async () => {
  const run = join(temporaryFolder('train'), 'run')
  const train = ['train', dataset, '--out', run, '--rounds', '5000', '--json']
  const first = startCli(train)
  await first.waitFor(isRound)
  const second = await cli(train)
  first.child.kill('SIGKILL')
  await first.ended
  expect(second).toMatchObject({ code: 3, last: { type: 'error', code: 'RUN_LOCKED' } })
  expect(second.events).toHaveLength(1)
  const told = readFileSync(join(run, 'events.jsonl'), 'utf8')
  expect(told.match(/"run-started"/g)).toHaveLength(1)

  const third = startCli(train)
  await third.waitFor(isRound)
  expect(third.events).toContainEqual(
    expect.objectContaining({ type: 'run-started', resumedAtRound: expect.any(Number) }),
  )
  third.child.kill('SIGINT')
  expect((await third.ended).code).toBe(130)
})

test('what a stopped training says of going on is true whatever it was started with', async () => {
  const run = join(temporaryFolder('train'), 'run')
  const train = ['train', dataset, '--out', run, '--rounds', '5000', '--device', 'wasm', '--threads', '1', '--json']
  const first = startCli(train)
  await first.waitFor(isRound)
  first.child.kill('SIGINT')
  expect(await first.ended).toMatchObject({
    code: 130,
    last: { code: 'INTERRUPTED', hint: 'run the same command again to go on' },
  })
})

test('Ctrl-C while an engine is looked for is a stop, and says nothing against the engine', async () => {
  const folder = temporaryFolder('train')
  const addon = join(folder, 'addon.cjs')
  writeFileSync(addon, "process.kill(0, 'SIGINT')") // all of the process group, as a terminal does
  const env = { MESHFL_NATIVE: addon }
  for (const words of [['train', dataset, '--out', join(folder, 'run'), '--device', 'cpu'], ['doctor']]) {
    const stopped = await startCli([...words, '--json'], { env, detached: true }).ended
    expect(stopped).toMatchObject({ code: 130, last: { type: 'error', code: 'INTERRUPTED' } })
  }
})

test('a run of one machine and a run of sites do not write over each other’s models', async () => {
  const folder = temporaryFolder('train')
  const [trained, simulated] = [join(folder, 'trained'), join(folder, 'simulated')]
  const models = (run: string) =>
    ['best', 'latest'].map((name) => readFileSync(join(run, `${name}.safetensors`), 'hex'))
  const start = (command: string, run: string) => cli([command, dataset, '--out', run, '--rounds', '1', '--json'])
  const refused = { code: 2, last: { type: 'error', code: 'RUN_OF_OTHER_KIND' } }
  expect((await start('train', trained)).code).toBe(0)
  expect((await start('simulate', simulated)).code).toBe(0)
  for (const [command, run] of [
    ['simulate', trained],
    ['train', simulated],
  ] as const) {
    const before = models(run)
    expect(await start(command, run)).toMatchObject(refused)
    expect(models(run)).toEqual(before)
  }
  // Models alone, as whoever sweeps up may leave them, are no run to go on with.
  rmSync(join(trained, 'checkpoint.safetensors'))
  expect(await start('train', trained)).toMatchObject(refused)
}, 60_000)

test('a start that fails before its first round does not bind the folder to its options', async () => {
  const folder = temporaryFolder('train')
  const run = join(folder, 'run')
  const study = join(folder, 'instance.yaml')
  writeFileSync(study, 'model: {normalization: instance}\n')
  const failed = await cli(['train', dataset, '--out', run, '--rounds', '1', '--study', study, '--json'])
  expect(failed).toMatchObject({ code: 3, last: { code: 'MODEL_UNSUPPORTED' } })
  expect(existsSync(join(run, 'study.yaml'))).toBe(false)
  expect((await cli(['train', dataset, '--out', run, '--rounds', '1', '--json'])).code).toBe(0)
}, 60_000)

test.each([
  ['--min-delta says nothing without --patience', ['--min-delta', '0.1'], ''],
  ['one of the weights must be above 0', [], 'recipe: {classWeights: [0, 0, 0]}'],
  ['expected number to be <=10000', [], 'recipe: {localEpochs: 9007199254740991}'],
])('what no training can be made of is a mistake of its options: %s', async (words, options, yaml) => {
  const folder = temporaryFolder('train')
  const study = join(folder, 'study.yaml')
  writeFileSync(study, yaml || 'rounds: 1\n')
  const failed = await cli(['train', dataset, '--out', join(folder, 'run'), '--study', study, ...options, '--json'])
  expect(failed).toMatchObject({ code: 2, last: { code: 'STUDY_INVALID', message: expect.stringContaining(words) } })
  expect(existsSync(join(folder, 'run'))).toBe(false)
})

test('a training whose folder another process has taken over leaves that one’s study alone', async () => {
  const run = join(temporaryFolder('train'), 'run')
  const first = startCli(['train', dataset, '--out', run, '--rounds', '1', '--local-epochs', '10000', '--json'])
  await first.waitFor((event) => event.type === 'step')
  writeFileSync(join(run, '.lock'), JSON.stringify({ pid: 1, started: null, host: 'elsewhere' }))
  expect(await first.ended).toMatchObject({ code: 3, last: { code: 'RUN_LOCKED' } })
  expect(existsSync(join(run, 'study.yaml'))).toBe(true)
}, 60_000)
