import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeSafetensors, encodeSafetensors } from '@meshfl/core'
import { encodeNifti, readGeometry, readVolume } from '@meshfl/volume'
import { beforeAll, expect, test } from 'vitest'
import { canMount } from '../../packages/federation/src/mount.fixture.js'
import { cli, startCli, temporaryFolder } from './cli.js'
import { trainRun } from './trained-run.js'

const canForbid = canMount((folder) => ['--bind', '-o', 'ro', folder, folder])

/** What is said where a model is scored on what it has learned from. */
const TRAINED_ON = 'The model was trained on scans that it is scored on here'

let source: string
let dataset: string
let run: string

beforeAll(async () => {
  ;({ source, dataset, run } = await trainRun())
})

/** The labels again, as predictions that are perfect. */
function copiesOf(labels: string): string {
  const copies = temporaryFolder('copies')
  cpSync(labels, copies, { recursive: true })
  return copies
}

/** A dataset of all scans for testing, whose label map gives the classes of FreeSurfer's white matter and cortex these names. */
async function datasetWithNames(grey: string, white: string): Promise<string> {
  const folder = temporaryFolder('names')
  const classes = [
    { value: 0, name: 'background', codes: [0] },
    { value: 1, name: grey, codes: [3, 42] },
    { value: 2, name: white, codes: [2, 41] },
  ]
  writeFileSync(join(folder, 'map.json'), JSON.stringify({ name: 'other-names', classes }))
  const other = join(folder, 'dataset')
  const options = ['--label-map', join(folder, 'map.json'), '--shape', '16', '--voxel-size', '12', '--ratios', '0,0,1']
  const split = await cli(['split', source, '--out', other, ...options, '--json'])
  expect(split.last).toMatchObject({ type: 'dataset', cases: 8 })
  return other
}

test('eval writes the whole report and its last line has the Dice of every class', async () => {
  const out = join(temporaryFolder('report'), 'report')
  const { code, last } = await cli(['eval', run, '--data', dataset, '--split', 'valid', '--out', out, '--json'])
  expect(code).toBe(0)
  expect(last).toMatchObject({ type: 'report', cases: 2, gate: 'none', path: out })
  expect(last?.type === 'report' && Object.keys(last.dice)).toEqual(['white matter', 'grey matter'])
  expect(readdirSync(out).sort()).toEqual([
    ...['cases.csv', 'junit.xml', 'report.html', 'report.json', 'report.md', 'summary.json'],
  ])
  const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
  expect(report.curves).toHaveLength(2)
  expect(['cuda', 'cpu', 'wasm']).toContain(report.engine.name)
})

test('several scans of a subject are scored as cases, and the report says of how many subjects they are', async () => {
  const folder = temporaryFolder('sessions')
  cpSync(source, folder, { recursive: true })
  const names = readdirSync(join(folder, 'images')).sort()
  const rows = names.map((name, i) => `person-${i >> 1},ses-${i % 2},images/${name},labels/${name}`)
  writeFileSync(join(folder, 'list.csv'), ['subject,session,image,label', ...rows, ''].join('\n'))
  const [prepared, out] = [join(folder, 'dataset'), join(folder, 'report')]
  const options = ['--shape', '16', '--voxel-size', '12', '--ratios', '0,0,1', '--quiet']
  expect((await cli(['split', join(folder, 'list.csv'), '--out', prepared, ...options])).code).toBe(0)
  const { stdout } = await cli(['eval', run, '--data', prepared, '--out', out])
  expect(stdout).toContain(' over 8 cases of 4 subjects (')
  const { cases, summary } = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
  expect(cases[0]).toMatchObject({ subject: 'person-0_ses-0', scanOf: 'person-0' })
  expect(summary.foregroundDice).toMatchObject({ cases: 8, subjects: 4 })
})

test('a gate that is not reached exits with 4, and the report is there all the same', async () => {
  const out = join(temporaryFolder('gate'), 'report')
  const failed = await cli(['eval', run, '--data', dataset, '--out', out, '--min-dice', '0.999', '--json'])
  expect(failed.code).toBe(4)
  expect(failed.last).toMatchObject({ type: 'report', gate: 'failed' })
  expect(readFileSync(join(out, 'junit.xml'), 'utf8')).toContain('<failure')
  const passed = await cli([
    'eval',
    run,
    '--data',
    dataset,
    '--split',
    'valid',
    '--out',
    out,
    '--min-dice',
    '0',
    '--json',
  ])
  expect(passed.code).toBe(0)
  expect(passed.last).toMatchObject({ type: 'report', gate: 'passed' })
})

test('scoring the test split of the same model again is marked as such', async () => {
  const again = join(temporaryFolder('again'), 'report')
  await cli(['eval', run, '--data', dataset, '--out', again])
  await cli(['eval', run, '--data', dataset, '--out', again])
  expect(JSON.parse(readFileSync(join(again, 'report.json'), 'utf8')).evaluations).toBeGreaterThan(1)
})

test('without --out each split has a folder of its own, the same scores are written again, and others are kept', async () => {
  const folder = join(temporaryFolder('default'), 'run')
  cpSync(run, folder, { recursive: true })
  const reports = (): string[] => readdirSync(folder).filter((name) => name.startsWith('report'))
  const score = async (...words: string[]) => {
    const { code, last } = await cli(['eval', folder, ...words, '--json'])
    expect(code).toBe(0)
    return last?.type === 'report' ? last.path : last
  }
  const test = join(folder, 'report-test')
  expect(await score('--data', dataset, '--split', 'valid')).toBe(join(folder, 'report-valid'))
  expect(await score('--data', dataset)).toBe(test)
  expect(await score()).toBe(join(folder, 'report'))
  expect(reports().sort()).toEqual(['report', 'report-test', 'report-valid'])
  for (const [name, cases] of [
    ['report-valid', 2],
    ['report-test', 2],
    ['report', 0],
  ] as const)
    expect(JSON.parse(readFileSync(join(folder, name, 'report.json'), 'utf8')).cases).toHaveLength(cases)

  expect(await score('--data', dataset, '--min-dice', '0')).toBe(test)
  expect(readdirSync(test)).toHaveLength(6)
  const file = join(test, 'report.json')
  const report = JSON.parse(readFileSync(file, 'utf8'))
  // As the model of an earlier round left it.
  const before = JSON.stringify({ ...report, model: { ...report.model, sha256: '0'.repeat(64) } })
  writeFileSync(file, before)
  const { stdout } = await cli(['eval', folder, '--data', dataset])
  expect(stdout).toContain(`report: ${join(test, 'report.html')}`)
  const kept = readdirSync(test).filter((name) => name.startsWith('earlier-'))
  expect(kept).toHaveLength(1)
  expect(stdout).toContain(`the report of other scores that was in ${test} is in ${join(test, kept[0]!)} now`)
  expect(readFileSync(join(test, kept[0]!, 'report.json'), 'utf8')).toBe(before)
})

test('predict writes labels in the space of the scan, and eval scores them against the truth by name', async () => {
  const scans = readdirSync(join(source, 'images')).map((name) => join(source, 'images', name))
  const out = join(temporaryFolder('predicted'), 'labels')
  const { code, events } = await cli(['predict', run, ...scans.slice(0, 2), '--out', out, '--probabilities', '--json'])
  expect(code).toBe(0)
  const predictions = events.filter((event) => event.type === 'prediction')
  expect(predictions).toHaveLength(2)
  for (const [i, { label, volumesMl }] of predictions.entries()) {
    const [given, native] = await Promise.all([readGeometry(label), readGeometry(scans[i]!)])
    expect(given.shape).toEqual(native.shape)
    given.affine.forEach((value, k) => void expect(value).toBeCloseTo(native.affine[k]!, 6))
    expect(Object.keys(volumesMl)).toEqual(['white matter', 'grey matter'])
    const { voxels } = await readVolume(label, { kind: 'label' })
    expect([...new Set(voxels)].every((value) => value <= 2)).toBe(true)
  }
  expect(readFileSync(join(out, 'volumes.csv'), 'utf8').split('\n')[0]).toBe(
    'image,label,white matter (mL),grey matter (mL)',
  )
  expect(readdirSync(out).filter((name) => name.includes('_probability-'))).toHaveLength(6)
})

test('the truth scored against itself is perfect, by folders alone', async () => {
  const labels = join(source, 'labels')
  const out = join(temporaryFolder('folders'), 'report')
  const { last } = await cli(['eval', '--pred', copiesOf(labels), '--truth', labels, '--out', out, '--json'])
  expect(last).toMatchObject({ type: 'report', cases: 8, foregroundDice: 1 })
  expect(existsSync(join(out, 'report.html'))).toBe(true)
})

test('files of one subject by their names in the way of BIDS are not taken for several subjects', async () => {
  const labels = join(source, 'labels')
  const folder = temporaryFolder('sessions')
  const names = readdirSync(labels).sort()
  for (const part of ['pred', 'truth']) {
    mkdirSync(join(folder, part))
    for (const [i, name] of names.entries())
      cpSync(join(labels, name), join(folder, part, `sub-${1 + (i >> 1)}_ses-${1 + (i & 1)}_dseg.nii.gz`))
  }
  const out = join(folder, 'report')
  const { code } = await cli(['eval', '--pred', join(folder, 'pred'), '--truth', join(folder, 'truth'), '--out', out])
  expect(code).toBe(0)
  const { cases, summary } = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
  expect(cases).toHaveLength(names.length)
  expect(summary.foregroundDice).toMatchObject({ cases: names.length, subjects: names.length / 2 })
})

test('surfaces are measured where they are asked for, held against gates, and told with their convention', async () => {
  const labels = join(source, 'labels')
  const folders = ['eval', '--pred', copiesOf(labels), '--truth', labels]
  const out = join(temporaryFolder('surfaces'), 'report')
  const gates = ['--min', 'grey matter:nsd=1', '--max', 'grey matter:hd95=0']
  const passed = await cli([...folders, '--out', out, '--surface', '--surface-tolerance', '0.5', ...gates])
  expect(passed.code).toBe(0)
  expect(passed.stdout).toContain('surface of grey matter (surfel): NSD 1.0000 at 0.5 mm, HD95 0.00 mm over 8 cases')
  expect(passed.stdout).toContain('gate passed: grey matter hd95 is 0.0000 over 8 of 8 cases, at most 0 mm')
  const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
  expect(report.conventions).toEqual({ empty: 'nan', surface: { kind: 'surfel', toleranceMm: 0.5 } })
  expect(report.cases[0].perClass['white matter']).toMatchObject({ nsd: 1, hd95: 0, assd: 0, hd: 0 })
})

test("distances follow the voxels of the scan, however it lies: two voxels of DeepMind's surface-distance", async () => {
  const folder = temporaryFolder('two-voxels')
  const [predictions, truths] = [join(folder, 'predictions'), join(folder, 'truths')]
  // Voxels of 3 x 2 x 1 mm, whose axes point backwards, to the left and up.
  const affine = [0, -2, 0, 0, -3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
  const shape: [number, number, number] = [8, 7, 9]
  for (const [path, z] of [
    [truths, 3],
    [predictions, 5],
  ] as const) {
    const voxels = new Uint8Array(8 * 7 * 9)
    voxels[4 + 8 * (3 + 7 * z)] = 1
    mkdirSync(path)
    writeFileSync(join(path, 'pair.nii.gz'), await encodeNifti({ shape, affine, voxels }, { gzip: true }))
  }
  const out = join(folder, 'report')
  const words = ['--classes', 'background,voxel', '--out', out, '--surface', '--json']
  expect((await cli(['eval', '--pred', predictions, '--truth', truths, ...words])).code).toBe(0)
  const { cases } = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
  expect(cases[0].perClass.voxel).toMatchObject({ assd: 1.5, hd: 2, hd95: 2, nsd: 0.5, dice: 0 })
})

test('a model is scored by its surfaces in millimetres, and a gate that they do not reach exits with 4', async () => {
  const out = join(temporaryFolder('distance'), 'report')
  const words = ['eval', run, '--data', dataset, '--split', 'valid', '--out', out, '--json']
  const { code, last } = await cli([...words, '--surface', 'voxel', '--max', 'white matter:hd=0.001'])
  expect(code).toBe(4)
  expect(last).toMatchObject({ type: 'report', gate: 'failed' })
  const { conventions, cases, gates } = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
  expect(conventions.surface).toEqual({ kind: 'voxel', toleranceMm: 1 })
  expect(gates[0]).toMatchObject({ class: 'white matter', metric: 'hd', max: 0.001, outcome: 'failed' })
  // Voxels of 12 mm: of two surfaces that differ, some point lies a voxel or more from the other.
  const found = cases.map((one: { perClass: Record<string, { hd: number }> }) => one.perClass['white matter']!.hd)
  for (const hd of found) expect(hd === 0 || hd >= 12).toBe(true)
})

test.each([
  [['--surface-tolerance', '2'], 'USAGE_OPTION'],
  [['--surface', 'mesh'], 'USAGE'],
  [['--surface', '--surface-tolerance', '0'], 'USAGE'],
  [['--min', 'grey matter:nsd=0.9'], 'EVAL_GATE_UNKNOWN'],
  [['--surface', '--max', 'grey matter:dice=0.9'], 'EVAL_GATE_UNKNOWN'],
])('what is asked of surfaces and cannot be had is refused before anything is scored (%j)', async (words, error) => {
  const out = join(temporaryFolder('refused'), 'report')
  const result = await cli(['eval', run, '--data', dataset, '--out', out, '--json', ...words])
  expect(result).toMatchObject({ code: 2, last: { type: 'error', code: error } })
  expect(existsSync(out)).toBe(false)
})

test('a folder is not scored against itself, whatever it is called', async () => {
  const labels = join(source, 'labels')
  const link = join(temporaryFolder('link'), 'predictions')
  symlinkSync(labels, link)
  for (const same of [labels, join(labels, '..', 'labels'), link]) {
    const { code, events } = await cli(['eval', '--pred', same, '--truth', labels, '--min-dice', '0.9', '--json'])
    expect(code).toBe(2)
    expect(events).toMatchObject([{ type: 'error', code: 'USAGE_OPTION' }])
  }
})

test('predictions in 4D, and those with NaN, are read as the hints say, and noted', async () => {
  const labels = join(source, 'labels')
  const predictions = temporaryFolder('volumes')
  const [first, second] = readdirSync(labels).sort() as [string, string]
  const [one, two] = await Promise.all([first, second].map((name) => readVolume(join(labels, name), { kind: 'label' })))
  const withNaN = Float32Array.from(one!.voxels)
  withNaN[0] = Number.NaN
  writeFileSync(join(predictions, first), await encodeNifti({ ...one!, voxels: withNaN }, { gzip: true }))
  const bytes = Buffer.from(await encodeNifti(two!, { gzip: false }))
  bytes.writeInt16LE(4, 40) // dim: four of them, and two volumes
  bytes.writeInt16LE(2, 48)
  writeFileSync(join(predictions, second), Buffer.concat([bytes, bytes.subarray(352)]))
  const out = join(temporaryFolder('read'), 'report')
  const score = (...words: string[]) =>
    cli(['eval', '--pred', predictions, '--truth', labels, '--out', out, ...words, '--json'])

  const neither = await score()
  expect(neither).toMatchObject({ code: 3, last: { type: 'error', hint: expect.stringContaining('--nan-to-zero') } })
  const { code, last } = await score('--nan-to-zero', '--volume', '1')
  expect(code).toBe(0)
  expect(last).toMatchObject({ type: 'report', cases: 2, foregroundDice: 1 })
  const { notes } = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
  expect(notes).toContainEqual('the prediction of sub-01: NaN or infinity in 1 voxel became 0.')
  const dataset4D = await cli(['eval', run, '--data', dataset, '--volume', '1', '--json'])
  expect(dataset4D).toMatchObject({ code: 2, last: { type: 'error', code: 'USAGE_OPTION' } })
})

test('the names of the classes are taken without the spaces around them, and each must be one of its own', async () => {
  const labels = join(source, 'labels')
  const out = join(temporaryFolder('named'), 'report')
  const predictions = copiesOf(labels)
  const score = (classes: string) =>
    cli(['eval', '--pred', predictions, '--truth', labels, '--out', out, '--classes', classes, '--json'])
  for (const classes of ['background,tissue,tissue', 'background,,tissue', 'background,tissue,__proto__'])
    expect(await score(classes)).toMatchObject({ code: 2, last: { type: 'error', code: 'USAGE_OPTION' } })
  expect(existsSync(out)).toBe(false)
  const { last } = await score('background, white, grey')
  expect(last?.type === 'report' && Object.keys(last.dice)).toEqual(['white', 'grey'])
})

test('a prediction on a wrong grid is left out and noted, the others are scored, and the exit code is 3', async () => {
  const labels = join(source, 'labels')
  const predictions = temporaryFolder('predictions')
  const [first, second] = readdirSync(labels).sort() as [string, string]
  cpSync(join(labels, first), join(predictions, first))
  const affine = [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
  const wrong = await encodeNifti({ shape: [5, 6, 7], affine, voxels: new Uint8Array(210) }, { gzip: true })
  writeFileSync(join(predictions, second), wrong)
  const out = join(temporaryFolder('left-out'), 'report')
  const { code, events, last } = await cli(['eval', '--pred', predictions, '--truth', labels, '--out', out, '--json'])
  expect(code).toBe(3)
  expect(last).toMatchObject({ type: 'report', cases: 1, foregroundDice: 1, leftOut: ['sub-02'] })
  expect(events).toContainEqual(expect.objectContaining({ type: 'log', level: 'error' }))
  const { notes } = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
  expect(notes).toEqual([
    expect.stringContaining('6 left out, a truth without a prediction'),
    expect.stringMatching(/^left out: sub-02: .*5 x 6 x 7 voxels.* \[EVAL_GRID_MISMATCH\]$/),
  ])
  writeFileSync(join(predictions, first), wrong)
  const none = await cli(['eval', '--pred', predictions, '--truth', labels, '--out', `${out}-2`, '--json'])
  expect(none).toMatchObject({ code: 3, last: { type: 'error', code: 'EVAL_GRID_MISMATCH' } })
  expect(existsSync(`${out}-2`)).toBe(false)
})

test('a gate does not pass in silence where predictions are missing: they are named, and the exit code is 3', async () => {
  const labels = join(source, 'labels')
  const predictions = temporaryFolder('few')
  const [first] = readdirSync(labels).sort() as [string]
  cpSync(join(labels, first), join(predictions, first))
  const folders = ['eval', '--pred', predictions, '--truth', labels, '--json']
  const out = join(temporaryFolder('few-report'), 'report')
  const { code, last } = await cli([...folders, '--out', out, '--min-dice', '0.5'])
  expect(code).toBe(3)
  const leftOut = [2, 3, 4, 5, 6, 7, 8].map((n) => `sub-0${n}`)
  expect(last).toMatchObject({ type: 'report', cases: 1, gate: 'passed', leftOut })
  const junit = readFileSync(join(out, 'junit.xml'), 'utf8')
  expect(junit).toContain('dice &gt;= 0.5" tests="9" failures="0" errors="7" skipped="0"')
  expect(junit).toContain('<testcase classname="sub-02" name="foreground: dice" time="0"><error')
  const asked = await cli([...folders, '--out', out])
  expect(asked).toMatchObject({ code: 0, last: { gate: 'none' } })
  expect(readFileSync(join(out, 'junit.xml'), 'utf8')).toMatch(/"measurements" .* errors="0" skipped="7"/)
})

test('the name of a file does nothing to the terminal that it is printed on', async () => {
  const labels = temporaryFolder('named')
  const [whole, short] = readdirSync(join(source, 'labels')).map((name) => join(source, 'labels', name))
  cpSync(whole!, join(labels, 'whole.nii.gz'))
  writeFileSync(join(labels, 'sub\u001b[2J\u001b[31m-02.nii.gz'), readFileSync(short!).subarray(0, 100))
  const out = join(temporaryFolder('printed'), 'report')
  const { code, stdout } = await cli(['eval', '--pred', copiesOf(labels), '--truth', labels, '--out', out])
  expect(code).toBe(3)
  expect(stdout).toContain('1 left out: sub-02 ')
  expect(stdout).not.toContain('\u001b')
})

test('Ctrl-C says that an evaluation begins anew, and leaves no report', async () => {
  const many = temporaryFolder('many')
  const label = join(source, 'labels', readdirSync(join(source, 'labels'))[0]!)
  for (let i = 0; i < 3000; i++) symlinkSync(label, join(many, `sub-${i}.nii.gz`))
  const out = join(temporaryFolder('stopped'), 'report')
  const running = startCli(['eval', '--pred', copiesOf(many), '--truth', many, '--out', out, '--json'])
  await running.waitFor((event) => event.type === 'progress')
  running.child.kill('SIGINT')
  const error = { code: 'INTERRUPTED', message: 'stopped before its end', hint: expect.stringContaining('begins anew') }
  expect(await running.ended).toMatchObject({ code: 130, last: error })
  expect(existsSync(out)).toBe(false)
})

test.each([
  ['run', '--data', 'dataset', '--truth', 'labels'],
  ['run', '--truth', 'labels'],
  ['--pred', 'labels', '--truth', 'labels', '--data', 'dataset'],
])('what to score is said once (%#)', async (...words) => {
  const paths: Record<string, string> = { run, dataset, labels: join(source, 'labels') }
  const out = join(temporaryFolder('both'), 'report')
  const { code, events } = await cli(['eval', ...words.map((word) => paths[word] ?? word), '--out', out, '--json'])
  expect(code).toBe(2)
  expect(events).toMatchObject([{ type: 'error', code: 'USAGE_OPTION' }])
})

test('a gate on an unknown class is refused before anything is scored', async () => {
  const out = join(temporaryFolder('typo'), 'report')
  const { code, events } = await cli(['eval', run, '--data', dataset, '--out', out, '--min', 'gray:dice=0.8', '--json'])
  expect(code).toBe(2)
  expect(events).toMatchObject([{ type: 'error', code: 'EVAL_GATE_UNKNOWN' }])
})

test('a dataset that has the classes in another order than the model is refused', async () => {
  const other = await datasetWithNames('grey matter', 'white matter')
  const { code, last } = await cli(['eval', run, '--data', other, '--json'])
  expect(code).toBe(3)
  expect(last).toMatchObject({ type: 'error', code: 'DATASET_STUDY_MISMATCH' })
})

test('a dataset prepared in another way than the model learned is scored with a warning and a note', async () => {
  const other = join(temporaryFolder('coarse'), 'dataset')
  const options = ['--shape', '12', '--voxel-size', '16', '--conform', 'niivue', '--ratios', '0,0,1']
  expect((await cli(['split', source, '--out', other, ...options])).code).toBe(0)
  const out = join(temporaryFolder('prepared'), 'report')
  const { code, stdout } = await cli(['eval', run, '--data', other, '--out', out])
  expect(code).toBe(0)
  expect(stdout).toMatch(/warning: scans has voxels of 16 mm \(the model: 12 mm\) and scans conformed as niivue/)
  expect(JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')).notes).toEqual([expect.stringContaining('16 mm')])
  const same = await cli(['eval', run, '--data', dataset, '--out', out])
  expect(same.stdout).not.toContain('warning')
})

test('scans that a model was trained on and that are for testing now are named, in the report and on the terminal', async () => {
  const anew = join(temporaryFolder('anew'), 'dataset')
  const options = ['--shape', '16', '--voxel-size', '12', '--ratios', '0.5,0.25,0.25', '--seed', '1']
  expect((await cli(['split', source, '--out', anew, ...options])).code).toBe(0)
  for (const model of [run, join(run, 'best.safetensors')]) {
    const out = join(temporaryFolder('anew-report'), 'report')
    const { code, stdout } = await cli(['eval', model, '--data', anew, '--out', out])
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`warning: .*${TRAINED_ON}`))
    for (const file of ['report.md', 'report.html', 'report.json'])
      expect(readFileSync(join(out, file), 'utf8')).toContain(TRAINED_ON)
  }
})

test('a checkpoint that cannot be read does not hold an evaluation up, nor does that of another run', async () => {
  const folder = temporaryFolder('no-checkpoint')
  cpSync(join(run, 'best.safetensors'), join(folder, 'best.safetensors'))
  writeFileSync(join(folder, 'checkpoint.safetensors'), 'cut short')
  const out = join(folder, 'report')
  expect((await cli(['eval', folder, '--data', dataset, '--out', out])).code).toBe(0)
  expect(JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')).notes).toBeUndefined()
})

test('a report that has no place to go is told before anything is scored', async () => {
  const file = join(temporaryFolder('no-folder'), 'report')
  writeFileSync(file, 'a file')
  const labels = join(source, 'labels')
  for (const scored of [
    [run, '--data', dataset],
    ['--pred', copiesOf(labels), '--truth', labels],
  ]) {
    const { code, events } = await cli(['eval', ...scored, '--out', join(file, 'under-a-file'), '--json'])
    expect(code).toBe(3)
    expect(events).toMatchObject([{ type: 'error', code: 'PATH_NOT_WRITABLE' }])
  }
})

test.skipIf(!canForbid)(
  `a run that can only be read is scored into another folder, with a note that it is not counted${canForbid ? '' : ' (skipped: no right to mount)'}`,
  async () => {
    const folder = temporaryFolder('read-only')
    cpSync(join(run, 'best.safetensors'), join(folder, 'best.safetensors'))
    execFileSync('mount', ['--bind', '-o', 'ro', folder, folder])
    try {
      const out = join(temporaryFolder('elsewhere'), 'report')
      const { code, events } = await cli(['eval', folder, '--data', dataset, '--out', out, '--json'])
      expect(code).toBe(0)
      const note = expect.stringMatching(/does not count .*evaluations\.jsonl \(EROFS\)/)
      expect(events).toContainEqual(expect.objectContaining({ type: 'log', level: 'warn', message: note }))
      const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
      expect(report).toMatchObject({ evaluations: 1, notes: [note] })
      const within = await cli(['eval', folder, '--data', dataset, '--json'])
      expect(within.code).toBe(3)
      expect(within.events).toMatchObject([{ type: 'error', code: 'PATH_NOT_WRITABLE' }])
    } finally {
      execFileSync('umount', ['-l', folder])
    }
  },
)

test.each([
  '5',
  '{"classNames":5}',
  '{"classNames":["background"]}',
  '{"classNames":["background","tissue","tissue"]}',
  '{"conform":{"mode":"freesurfer","shape":"large"}}',
  '{"conform":{"mode":"freesurfer","shape":[100000,100000,100000]}}',
  '{"voxelSizeMm":-1}',
])('a model file is refused that says of its data what cannot be: %s', async (data) => {
  const folder = temporaryFolder('metadata')
  const { tensors, metadata } = decodeSafetensors(readFileSync(join(run, 'best.safetensors')), 'best')
  const file = join(folder, 'model.safetensors')
  writeFileSync(file, encodeSafetensors({ tensors, metadata: { ...metadata, 'meshfl.data': data } }))
  const { code, events } = await cli(['eval', file, '--data', dataset, '--out', join(folder, 'out'), '--json'])
  expect(code).toBe(3)
  expect(events).toMatchObject([{ type: 'error', code: 'MODEL_SPEC_UNKNOWN' }])
})

test('a dataset that has other names for the classes than the model is scored with a warning and a note', async () => {
  const other = await datasetWithNames('GM', 'WM')
  const out = join(temporaryFolder('renamed'), 'report')
  const { code, stdout } = await cli(['eval', run, '--data', other, '--out', out])
  expect(code).toBe(0)
  expect(stdout).toMatch(
    /warning: .* the classes background, GM, WM \(the model: background, white matter, grey matter\)/,
  )
  expect(JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')).notes).toEqual([
    expect.stringContaining('GM, WM'),
    expect.stringContaining(TRAINED_ON),
    expect.stringMatching(/^The model was chosen by scans that it is scored on here: \S+, \S+\.$/),
  ])
})

test('a model that cannot be read is told as such', async () => {
  // Permissions do not hold root back; a folder in the place of the file holds back everyone.
  const folder = join(temporaryFolder('unreadable'), 'run')
  mkdirSync(join(folder, 'best.safetensors'), { recursive: true })
  const { code, last } = await cli(['eval', folder, '--data', dataset, '--json'])
  expect(code).toBe(3)
  expect(last).toMatchObject({ type: 'error', code: 'FILE_NOT_READABLE' })
})
