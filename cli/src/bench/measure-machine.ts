import { execFileSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { memoryBytes, packageFile } from '@meshfl/core'
import { measureCpuPeak, threadsRefused } from '@meshfl/engine'
import { VERSION } from '../program.js'

/** Where figures were measured. */
export interface BenchMachine {
  type: 'bench-machine'
  time: string
  processor: string
  cores: number
  memoryBytes: number
  platform: string
  node: string
  version: string
  /** Of the repository that the command line is run from; null for an installed one. */
  commit: string | null
  threads: number
  /** Multiply-adds in fp32 that so many threads do, in 1e9 floating-point operations a second; null without the native addon. */
  peakGflops: number | null
  /** Bytes that so many threads copy, read and write counted, in 1e9 a second. */
  copyGigabytes: number
}

/** Measures what the machine itself can do, for about a second. */
export async function measureMachine(threads: number): Promise<BenchMachine> {
  const peak = await measureCpuPeak(threads)
  return {
    type: 'bench-machine',
    time: new Date().toISOString(),
    processor: cpus()[0]?.model.trim() ?? process.arch,
    cores: cpus().length,
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    version: VERSION,
    commit: commitHere(),
    threads,
    peakGflops: peak === undefined ? null : peak / 1e9,
    copyGigabytes: (await measureCopy(threads)) / 1e9,
  }
}

function commitHere(): string | null {
  const cwd = fileURLToPath(packageFile('meshfl', '.', import.meta.url))
  try {
    const git = (...words: string[]): string =>
      execFileSync('git', words, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    if (git('ls-files', '--error-unmatch', 'package.json') === '') return null
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' and changes'}`
  } catch {
    return null // no repository, or no git
  }
}

/**
 * Bytes of each of the two stretches that a thread copies between: more than any cache holds, less where all of the threads' would take
 * more than an eighth of the memory. On a machine of many cores and little memory they are still many caches together.
 */
export const stretchBytes = (threads: number, memory = memoryBytes()): number =>
  Math.min(2 ** 27, Math.floor(memory / 8 / threads / 2))

/** A thread that copies from one stretch to another, and tells the best rate of ten. */
const COPIER = `
  const { parentPort, workerData } = require('node:worker_threads')
  const [from, to] = [1, 2].map((value) => new Uint8Array(workerData).fill(value))
  parentPort.on('message', () => {
    let best = Infinity
    for (let i = 0; i < 10; i++) {
      const begun = performance.now()
      to.set(from)
      best = Math.min(best, performance.now() - begun)
    }
    parentPort.postMessage(2 * from.length / (best / 1000))
    parentPort.close()
  })
  parentPort.postMessage('ready')`

async function measureCopy(threads: number): Promise<number> {
  const workers: Worker[] = []
  try {
    return await copyIn(workers, threads)
  } finally {
    for (const worker of workers) await worker.terminate()
  }
}

/** @param workers is filled with those that are started */
async function copyIn(workers: Worker[], threads: number): Promise<number> {
  const options = { eval: true, execArgv: [], workerData: stretchBytes(threads) }
  try {
    while (workers.length < threads) workers.push(new Worker(COPIER, options))
  } catch (cause) {
    throw threadsRefused(threads, cause)
  }
  const answers = (): Promise<number[]> =>
    Promise.all(
      workers.map(
        (worker) => new Promise<number>((resolve, reject) => worker.once('message', resolve).once('error', reject)),
      ),
    )
  await answers()
  const rates = answers()
  for (const worker of workers) worker.postMessage('go')
  return (await rates).reduce((sum, rate) => sum + rate, 0)
}
