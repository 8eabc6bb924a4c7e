#!/usr/bin/env node
// Measures the figures of docs/performance.md and README.md anew and writes them there: `npm run bench:figures`.
//   --prefix "flock /tmp/quiet.lock chrt -f 50"   words put before every run, for a machine that others use too
//   --only 256,wide                               runs whose name begins so
//   --results <folder>                            where the JSON files go, and where those of runs left out are (default: bench/results)
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** What is measured, a process each: short ones, so that a machine that others use too is never held for long. */
const RUNS = {
  '032': '--grid 32 --precision fp32,bf16 --repeats 7',
  '064': '--grid 64 --precision fp32,bf16 --repeats 5',
  128: '--grid 128 --precision fp32,bf16 --repeats 2',
  '256-forward': '--grid 256 --case forward --precision fp32,bf16 --repeats 3',
  '256-cpu': '--grid 256 --case step --device cpu --max-memory all,3GB,2GB --repeats 3 --no-peers',
  '256-cpu-bf16': '--grid 256 --case step --device cpu --precision bf16 --repeats 3 --no-peers',
  '256-step-wasm': '--grid 256 --case step --device wasm --repeats 1 --no-peers',
  '256-step-peers': '--grid 256 --case step --device cpu --repeats 1',
  'wide-15': '--grid 64,128 --channels 15 --device cpu,wasm --precision fp32,bf16 --repeats 1',
  'wide-21': '--grid 64,128 --channels 21 --device cpu,wasm --precision fp32,bf16 --repeats 1',
  'wide-30': '--grid 64,128 --channels 30 --device cpu,wasm --precision fp32,bf16 --repeats 1',
}

const root = fileURLToPath(new URL('..', import.meta.url))
const { values } = parseArgs({
  options: { prefix: { type: 'string', default: '' }, only: { type: 'string' }, results: { type: 'string' } },
})
const folder = values.results ?? join(root, 'bench/results')
const wanted = values.only?.split(',')
const meshfl = [process.execPath, join(root, 'cli/dist/bin.js'), 'bench']
mkdirSync(folder, { recursive: true })

function run(words) {
  const [command, ...rest] = words
  const { status, error } = spawnSync(command, rest, { cwd: root, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}

for (const [name, options] of Object.entries(RUNS)) {
  if (wanted && !wanted.some((word) => name.startsWith(word))) continue
  process.stdout.write(`\n${name}: meshfl bench ${options}\n`)
  const prefix = values.prefix.split(' ').filter(Boolean)
  run([...prefix, ...meshfl, ...options.split(' '), '--threads', '2', '--out', join(folder, `${name}.json`)])
}

const files = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .sort()
  .map((name) => join(folder, name))
const documents = ['README.md', 'docs/performance.md'].filter((name) =>
  readFileSync(join(root, name), 'utf8').includes('<!-- bench:begin'),
)
run([
  ...meshfl,
  '--quiet',
  ...['--report', ...files],
  ...(documents.length > 0 ? ['--into', ...documents] : []),
  ...['--plot', join(root, 'docs/images/seconds-by-voxels.svg')],
])
