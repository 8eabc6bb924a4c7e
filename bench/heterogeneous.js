#!/usr/bin/env node
// Two sites with very different data: does a federation beat each site alone? `node bench/heterogeneous.js <cohort> --out <folder>
// [--rounds 30] [--scenarios contrast,size,noise] [--shape 45,60,60 --voxel-size 4] [--device cpu] [--strategies fedavg,fedbn]`. The
// cohort is a folder with cases.tsv and label-map.json. Every arm is the public command line; the test subjects of both sites are scored
// by every arm. Prints a JSON line an arm and then a table. What is there already is gone on with.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createRandom } from '@meshfl/core'
import { encodeNifti, readVolume } from '@meshfl/volume'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    rounds: { type: 'string', default: '30' },
    scenarios: { type: 'string', default: 'contrast,size,noise' },
    strategies: { type: 'string', default: 'fedavg,fedbn' },
    shape: { type: 'string', default: '45,60,60' },
    'voxel-size': { type: 'string', default: '4' },
    device: { type: 'string', default: 'cpu' },
    seed: { type: 'string', default: '0' },
  },
})
const cohort = resolve(positionals[0] ?? '')
const out = resolve(values.out ?? 'heterogeneous')
const seed = Number(values.seed)
const CLI = fileURLToPath(new URL('../cli/dist/bin.js', import.meta.url))
const SITES = ['site-1', 'site-2']
/** Of each site: what is not for validation or test is for training, and `size` leaves most of that out at site-2. */
const VALID = 2
const TEST = 3
const SMALL = 2
/** The demo's network: learns on coarse grids in few steps. */
const STUDY = { model: { channels: 8, dilations: [1, 2, 4, 1] }, recipe: { maxLearningRate: 0.03, localEpochs: 2 } }

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
const meshfl = (...args) =>
  JSON.parse(
    execFileSync(process.execPath, [CLI, ...args, '--json'], { encoding: 'utf8', maxBuffer: 1 << 28 })
      .trim()
      .split('\n')
      .at(-1),
  )

/** What a site's scanner does to intensities from 0 to 1. */
const SCANNERS = {
  contrast: { 'site-1': (value) => value ** 0.5, 'site-2': (value) => value ** 2 },
  size: {},
  // Rician noise, 12 % of the brightest: the magnitude of a complex signal with Gaussian noise in both parts.
  noise: { 'site-2': (value, random) => Math.hypot(value + 0.12 * random.normal(), 0.12 * random.normal()) },
}

/** The subjects of both sites, drawn from the seed: half of the cohort each. */
function dealSubjects() {
  const [head, ...rows] = readFileSync(join(cohort, 'cases.tsv'), 'utf8').trim().split('\n')
  const columns = head.split('\t')
  const cases = rows.map((row) => Object.fromEntries(row.split('\t').map((text, i) => [columns[i], text])))
  const order = createRandom(seed, 'heterogeneous').shuffle(cases)
  return { 'site-1': order.slice(0, order.length >> 1), 'site-2': order.slice(order.length >> 1) }
}

/** Writes a site's scans as its scanner makes them, and prepares train + valid, and test, as datasets of their own. */
async function prepare(scenario, site, cases) {
  const folder = join(out, scenario, site)
  const parts = { test: cases.slice(0, TEST), learn: cases.slice(TEST) }
  if (scenario === 'size' && site === 'site-2') parts.learn = parts.learn.slice(0, VALID + SMALL)
  for (const [part, items] of Object.entries(parts)) {
    const dataset = join(folder, part)
    if (existsSync(join(dataset, 'dataset.json'))) continue
    const source = join(folder, `${part}-scans`)
    mkdirSync(source, { recursive: true })
    const rows = ['subject\timage\tlabel']
    for (const { subject, image, label } of items) {
      const path = join(source, basename(image))
      await writeScan(scenario, site, join(cohort, image), path)
      rows.push([subject, path, join(cohort, label)].join('\t'))
    }
    writeFileSync(join(source, 'cases.tsv'), `${rows.join('\n')}\n`)
    const valid = VALID / items.length
    const ratios = part === 'test' ? '0,0,1' : `${1 - valid},${valid},0`
    const grid = ['--shape', values.shape, '--voxel-size', values['voxel-size']]
    const map = ['--label-map', join(cohort, 'label-map.json'), '--name', site]
    meshfl('split', source, '--out', dataset, '--ratios', ratios, '--seed', `${seed}`, ...grid, ...map)
  }
}

async function writeScan(scenario, site, from, to) {
  const scanner = SCANNERS[scenario][site] ?? ((value) => value)
  const { shape, affine, voxels } = await readVolume(from, {})
  const brightest = voxels.reduce((most, value) => Math.max(most, value), 0)
  const random = createRandom(seed, 'heterogeneous', scenario, basename(from))
  const scanned = Float32Array.from(voxels, (value) => 1000 * scanner(Math.max(0, value) / brightest, random))
  writeFileSync(to, await encodeNifti({ shape, affine, voxels: scanned }, { gzip: true }))
}

/** Runs a command and hands its JSON lines on; resolves with the last one. */
function start(args, onLine) {
  const child = spawn(process.execPath, [CLI, ...args, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let last
  createInterface({ input: child.stdout }).on('line', (line) => {
    last = JSON.parse(line)
    onLine?.(last)
  })
  return new Promise((done, failed) =>
    child.once('close', (code) => (code === 0 ? done(last) : failed(new Error(`${args[0]}: ${JSON.stringify(last)}`)))),
  )
}

/** A coordinator and both sites, as they would be started by hand. */
async function federate(scenario, strategy, study) {
  const run = join(out, scenario, strategy)
  const sites = []
  const bind = ['--bind', 'tcp://127.0.0.1:*', '--auto-approve']
  const serve = ['serve', '--out', run, '--study', study, '--sites', '2', '--strategy', strategy, ...bind]
  await start(serve, (line) => {
    if (line.type !== 'invite') return
    const site = SITES[sites.length]
    const data = ['--data', join(out, scenario, site, 'learn'), '--out', join(run, 'sites', site)]
    sites.push(start(['join', line.invite, ...data, '--device', values.device, '--threads', '1']))
  })
  await Promise.all(sites)
  return run
}

/** Foreground Dice of a model on the test subjects of each site, and on all of them. */
function score(scenario, arm, modelOf) {
  const cases = SITES.flatMap((site) => {
    const data = join(out, scenario, site, 'test')
    const report = join(out, scenario, 'reports', `${arm}-on-${site}`)
    meshfl('eval', modelOf(site), '--data', data, '--split', 'test', '--out', report, '--device', values.device)
    const { cases } = JSON.parse(readFileSync(join(report, 'report.json'), 'utf8'))
    return cases.map(({ foregroundDice }) => ({ site, dice: foregroundDice }))
  })
  const mean = (items) => items.reduce((sum, { dice }) => sum + dice, 0) / items.length
  const result = { scenario, arm, pooled: mean(cases) }
  for (const site of SITES) result[site] = mean(cases.filter((one) => one.site === site))
  print(result)
  return result
}

const results = []
const subjects = dealSubjects()
for (const scenario of values.scenarios.split(',')) {
  for (const site of SITES) await prepare(scenario, site, subjects[site])
  const study = join(out, scenario, 'study.yaml')
  const classes = JSON.parse(readFileSync(join(cohort, 'label-map.json'), 'utf8'))
  const names = { classNames: classes.classes.map(({ name }) => name), labelMap: classes.name }
  writeFileSync(study, JSON.stringify({ ...STUDY, ...names, seed, rounds: Number(values.rounds) }))
  for (const site of SITES) {
    const run = join(out, scenario, `alone-${site}`)
    const device = ['--device', values.device, '--threads', '1']
    await start(['train', join(out, scenario, site, 'learn'), '--out', run, '--study', study, ...device])
    results.push(score(scenario, `${site} alone`, () => run))
  }
  for (const strategy of values.strategies.split(',')) {
    const run = await federate(scenario, strategy, study)
    const isOwn = strategy === 'fedbn'
    const modelOf = (site) => (isOwn ? join(run, 'sites', site, 'own.safetensors') : run)
    results.push(score(scenario, strategy, modelOf))
  }
}

const cell = (value) => value.toFixed(3)
process.stdout.write('\n| data differ by | trained | pooled test set | site-1 | site-2 |\n|---|---|---|---|---|\n')
for (const { scenario, arm, pooled, ...sites } of results) {
  process.stdout.write(
    `| ${scenario} | ${arm} | ${cell(pooled)} | ${cell(sites['site-1'])} | ${cell(sites['site-2'])} |\n`,
  )
}
