import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeModel, encodeModel, MeshNetSpecSchema, modelSha256, StudySchema } from '@meshfl/core'
import { initializeModel, modelLayout } from '@meshfl/engine'
import { beforeAll, expect, test } from 'vitest'
import { cli, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

let dataset: string
let folder: string
/** A run of one round, and the hash of its best model. */
let first: string
let best: string

const start = (command: string, run: string, ...more: string[]) =>
  cli([command, dataset, '--out', join(folder, run), '--json', ...more])

beforeAll(async () => {
  dataset = await makeDataset(1)
  folder = temporaryFolder('from')
  first = join(folder, 'first')
  expect((await start('simulate', 'first', '--rounds', '1')).code).toBe(0)
  const file = join(first, 'best.safetensors')
  best = modelSha256(decodeModel(modelLayout(StudySchema.parse({}).model), readFileSync(file)))
}, 60_000)

test('a federation begins with the model of another run, keeps it, and is audited without that run', async () => {
  expect((await start('simulate', 'second', '--from', first, '--rounds', '2')).code).toBe(0)
  const [line] = readFileSync(join(folder, 'second', 'ledger.jsonl'), 'utf8').split('\n')
  expect(JSON.parse(line!)).toMatchObject({ round: 1, base: best })
  expect(await cli(['audit', join(folder, 'second'), '--json'])).toMatchObject({
    code: 0,
    last: { ok: true, rounds: 2 },
  })
  // Going on needs neither the option nor the model that it named, which may have changed since.
  expect((await start('simulate', 'second')).code).toBe(0)
  for (const from of [join(folder, 'second'), join(folder, 'nowhere')])
    expect((await start('simulate', 'second', '--from', from)).code).toBe(0)
  // A run that was drawn from a seed does not begin anew with a model.
  expect(await start('simulate', 'first', '--from', join(folder, 'second'))).toMatchObject({
    code: 2,
    last: { code: 'RUN_STUDY_MISMATCH', message: expect.stringContaining('initialSha256') },
  })
  rmSync(join(folder, 'second', 'initial.safetensors'))
  expect(await cli(['audit', join(folder, 'second'), '--json'])).toMatchObject({
    code: 3,
    last: { code: 'INITIAL_MODEL_MISSING' },
  })
}, 60_000)

test('one machine goes on from a model file, and learns from there', async () => {
  const file = join(first, 'best.safetensors')
  const [drawn, begun] = [
    await start('train', 'drawn', '--rounds', '1'),
    await start('train', 'begun', '--rounds', '1', '--from', file),
  ]
  expect([drawn.code, begun.code]).toEqual([0, 0])
  const lossOf = ({ events }: typeof drawn): number =>
    events.flatMap((event) => (event.type === 'step' && event.step === 1 ? [event.loss!] : []))[0]!
  expect(lossOf(begun)).toBeLessThan(lossOf(drawn))
  // A start that fails takes back what it wrote, and nothing of the run that was there before.
  rmSync(join(folder, 'begun', 'study.yaml'))
  expect((await start('train', 'begun', '--rounds', '2')).last).toMatchObject({ code: 'RUN_STUDY_MISMATCH' })
  expect(['study.yaml', 'initial.safetensors'].map((name) => existsSync(join(folder, 'begun', name)))).toEqual([
    false,
    true,
  ])
}, 60_000)

test('the network of the model is the study’s; other classes, another network and a hash alone are refused', async () => {
  const study = join(folder, 'study.yaml')
  const refusals: [string, string[], string][] = [
    ['classNames: [background, grey matter, white matter]', ['--from', first], 'INITIAL_MODEL_MISMATCH'],
    ['model: {channels: 6}', ['--from', first], 'INITIAL_MODEL_MISMATCH'],
    // Weights of the same shapes, and another network.
    ['model: {activation: relu}', ['--from', first], 'INITIAL_MODEL_MISMATCH'],
    ['model: {dilations: [4, 4, 4, 4, 4, 4, 4, 4, 4]}', ['--from', first], 'INITIAL_MODEL_MISMATCH'],
    [`initialSha256: ${best}`, [], 'INITIAL_MODEL_MISSING'],
    ['rounds: 1', ['--from', join(folder, 'nowhere')], 'FILE_NOT_FOUND'],
  ]
  for (const [yaml, options, code] of refusals) {
    writeFileSync(study, `${yaml}\n`)
    expect((await start('train', 'refused', '--study', study, ...options)).last).toMatchObject({ code })
  }
  writeFileSync(study, 'model: {channels: 3, dilations: [1, 2]}\n')
  expect((await start('train', 'small', '--study', study, '--rounds', '1')).code).toBe(0)
  expect((await start('train', 'grown', '--from', join(folder, 'small'), '--rounds', '1')).code).toBe(0)
  // Of a coordinator, which has no dataset, the classes too are the model's.
  const four = join(folder, 'four.safetensors')
  const spec = MeshNetSpecSchema.parse({ classes: 4 })
  const classNames = ['background', 'one', 'two', 'three']
  const metadata = { 'meshfl.spec': JSON.stringify(spec), 'meshfl.data': JSON.stringify({ classNames }) }
  writeFileSync(four, encodeModel(modelLayout(spec), initializeModel(spec, 1), metadata))
  const serve = startCli([
    'serve',
    '--out',
    join(folder, 'served'),
    '--from',
    four,
    '--bind',
    'tcp://127.0.0.1:*',
    '--json',
  ])
  await serve.waitFor((event) => event.type === 'run-started')
  serve.child.kill('SIGINT')
  await serve.ended
  const served = readFileSync(join(folder, 'served', 'study.yaml'), 'utf8')
  expect(served).toMatch(/classNames:\n +- background\n +- one\n/)
}, 60_000)
