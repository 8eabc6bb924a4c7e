#!/usr/bin/env node
// Times forward passes and training steps: `node bench/run.js [--engines cpu,wasm] [--grids 64,128] [--channels 5] [--threads 2]
// [--repeats 5] [--what forward,step] [--torch /usr/bin/python3]`. Prints a JSON line for the machine, then one a case. An engine whose
// answer is not the reference's is not timed: that fails.
import { execFileSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { MeshNetSpecSchema } from '@meshfl/core'
import { initializeModel, measureCpuPeak, openEngine } from '@meshfl/engine'
import { createReferenceEngine } from '@meshfl/testkit'
import { DEFAULTS, flops } from './cases.js'

const LARGEST_ERROR = 1e-4
const loss = { classWeights: [0.2, 1, 0.8], labelSmoothing: 0.01 }

const { values } = parseArgs({
  options: Object.fromEntries([...Object.keys(DEFAULTS), 'torch'].map((name) => [name, { type: 'string' }])),
})
const list = (name) => values[name]?.split(',') ?? DEFAULTS[name]
const threads = Number(values.threads ?? DEFAULTS.threads)
const repeats = Number(values.repeats ?? DEFAULTS.repeats)

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]

function problem(channels, edge) {
  const spec = MeshNetSpecSchema.parse({ channels })
  const voxels = edge ** 3
  const batch = { images: Uint8Array.from({ length: voxels }, (_, i) => (i * 37 + (i >> 7)) % 256), count: 1 }
  const labels = Uint8Array.from({ length: voxels }, (_, i) => (i >> 3) % spec.classes)
  return {
    spec,
    grid: { depth: edge, height: edge, width: edge },
    voxels,
    batch,
    labels,
    model: initializeModel(spec, 1),
  }
}

/** Largest difference from the reference's gradients, over their largest. */
async function checkAnswer(engine, channels) {
  const { spec, grid, model, batch, labels } = problem(channels, 20)
  const [truth, found] = await Promise.all(
    [createReferenceEngine(), engine].map(async (one) => {
      const session = await one.createSession(spec, grid, { threads })
      const { gradients } = await session.forwardBackward(model, batch, labels, loss, { seed: 0 })
      session.dispose()
      return gradients
    }),
  )
  const size = Math.max(...truth.map(Math.abs))
  const error = Math.max(...truth.map((value, i) => Math.abs(value - found[i]))) / size
  if (!(error < LARGEST_ERROR)) throw new Error(`${engine.name} computes wrongly: gradients differ by ${error}`)
}

async function open(engine, channels, edge, what) {
  const given = problem(channels, edge)
  const session = await engine.createSession(given.spec, given.grid, { threads })
  const { model, batch, labels } = given
  const run = () =>
    what === 'step' ? session.forwardBackward(model, batch, labels, loss, { seed: 0 }) : session.forward(model, batch)
  await run()
  const seconds = []
  const processorSeconds = []
  return {
    async measure() {
      const [start, before] = [performance.now(), process.cpuUsage()]
      await run()
      const { user, system } = process.cpuUsage(before)
      seconds.push((performance.now() - start) / 1e3)
      processorSeconds.push((user + system) / 1e6)
    },
    finish(peak) {
      session.dispose()
      const typical = median(processorSeconds) / threads
      const rate = flops(given.spec, given.voxels, what) / typical
      print({
        engine: `${engine.name} ${engine.device.instructionSet}`,
        ...{ grid: edge, channels, threads, what, seconds, processorSeconds },
        medianSeconds: median(seconds),
        processorSecondsPerThread: typical,
        gflops: rate / 1e9,
        ...(peak === undefined ? {} : { shareOfPeak: rate / peak }),
        memoryBytes: session.memory.peakBytes,
      })
    },
  }
}

const engines = await Promise.all(list('engines').map((device) => openEngine({ device, threads })))
const peak = await measureCpuPeak(threads)
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
const machine = { processor: cpus()[0]?.model, cores: cpus().length, memoryBytes: totalmem(), node: process.version }
print({ machine: { ...machine, multiplyAddFlops: peak ?? null, threads }, commit })

for (const channels of list('channels').map(Number)) {
  for (const engine of engines) await checkAnswer(engine, channels)
  for (const edge of list('grids').map(Number)) {
    for (const what of list('what')) {
      const cases = []
      for (const engine of engines) cases.push(await open(engine, channels, edge, what))
      for (let i = 0; i < repeats; i++) for (const one of cases) await one.measure()
      for (const one of cases) one.finish(peak)
    }
    if (values.torch) {
      const script = fileURLToPath(new URL('peer-torch.py', import.meta.url))
      execFileSync(values.torch, [script, `${edge}`, `${channels}`, `${threads}`, `${repeats}`], { stdio: 'inherit' })
    }
  }
}
