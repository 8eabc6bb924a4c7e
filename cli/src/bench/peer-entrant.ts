import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { formatBytes, packageFile } from '@meshfl/core'
import { encodeOnnx } from '@meshfl/interchange'
import type { BenchTask } from './bench-case.js'
import type { Absent, Entrant } from './entrant.js'
import { startPeer } from './peer-process.js'
import type { Problem } from './problem.js'

const script = (name: string): string => fileURLToPath(packageFile('meshfl', `bench/${name}`, import.meta.url))

/** Programs that compute the same network, and how each is started; null: it is not installed. */
export interface Peers {
  /** A python3 that has PyTorch. */
  python: string | null
  /** The file that `require('onnxruntime-node')` would load. */
  onnxruntime: string | null
}

/** Looks for the peers; MESHFL_PYTHON and MESHFL_ONNXRUNTIME (a folder with the package in its node_modules) name others. */
export function findPeers(): Peers {
  const pythons = [process.env.MESHFL_PYTHON, 'python3', '/usr/bin/python3'].filter((name) => name !== undefined)
  const hasTorch = (python: string): boolean =>
    spawnSync(python, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0
  const folders = [process.env.MESHFL_ONNXRUNTIME, process.cwd()].filter((folder) => folder !== undefined)
  return {
    python: pythons.find(hasTorch) ?? null,
    onnxruntime: folders.map((folder) => resolveFrom(folder, 'onnxruntime-node')).find((file) => file !== null) ?? null,
  }
}

function resolveFrom(folder: string, name: string): string | null {
  try {
    return createRequire(pathToFileURL(join(folder, 'here.js'))).resolve(name)
  } catch {
    return null // not installed there
  }
}

export interface PeerOptions {
  peers: Peers
  task: BenchTask
  problem: Problem
  threads: number
  signal: AbortSignal
}

/** The peers that can do a task, the same weights, image and labels given to each; none that is not installed. */
export async function openPeers(options: PeerOptions): Promise<(Entrant | Absent)[]> {
  const { peers, task } = options
  const opened: (Entrant | Absent)[] = []
  if (peers.python) {
    if (task === 'step') opened.push(await openTorch(options, peers.python, 'layer'))
    opened.push(await openTorch(options, peers.python))
  }
  if (peers.onnxruntime && task === 'forward') opened.push(await openOnnx(options, peers.onnxruntime))
  return opened
}

async function openTorch(options: PeerOptions, python: string, checkpointing?: 'layer'): Promise<Entrant | Absent> {
  const { task, problem } = options
  const labels = { engine: 'pytorch', precision: 'fp32' as const, ...(checkpointing ? { checkpointing } : {}) }
  // Every layer's convolution and activation are kept, and gradients beside them.
  const tensor = 4 * problem.spec.channels * problem.grid.depth * problem.grid.height * problem.grid.width
  const needed = tensor * (task === 'forward' ? 6 : checkpointing ? 16 : 30)
  if (needed > freemem()) return { labels, skipped: lacks(needed) }
  const files = { model: problem.model.parameters, images: problem.images, labels: problem.labels }
  return openPeer(options, labels, files, (folder) => [
    python,
    [script('peer-torch.py'), folder, ...numbersOf(options), task, checkpointing ?? 'none'],
  ])
}

async function openOnnx(options: PeerOptions, module: string): Promise<Entrant | Absent> {
  const { problem } = options
  const { depth, height, width } = problem.grid
  const needed = 4 * depth * height * width * problem.spec.channels * 4
  if (needed > freemem()) return { labels: { engine: 'onnxruntime', precision: 'fp32' }, skipped: lacks(needed) }
  const files = {
    'model.onnx': encodeOnnx(problem.spec, problem.model, { grid: problem.grid }),
    images: problem.images,
  }
  return openPeer(options, { engine: 'onnxruntime', precision: 'fp32' }, files, (folder) => [
    process.execPath,
    [script('peer-onnx.js'), folder, ...numbersOf(options), module],
  ])
}

const lacks = (bytes: number): string => `it takes about ${formatBytes(bytes)}, and ${formatBytes(freemem())} are free`

const numbersOf = ({ problem, threads }: PeerOptions): string[] =>
  [problem.grid.depth, problem.spec.channels, threads].map(String)

/** Writes what the peer reads, starts it, and hands it its tasks. */
async function openPeer(
  { signal }: PeerOptions,
  labels: Entrant['labels'],
  files: Record<string, Uint8Array | Float32Array>,
  command: (folder: string) => [string, string[]],
): Promise<Entrant | Absent> {
  const folder = mkdtempSync(join(tmpdir(), 'meshfl-bench-'))
  for (const [name, values] of Object.entries(files)) writeFileSync(join(folder, name), values)
  const peer = startPeer(...command(folder), signal)
  const close = (): void => {
    peer.close()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const { version } = await peer.ask({ do: 'open' })
    return {
      labels: { ...labels, instructionSet: String(version) },
      async run() {
        const { seconds, outcome } = await peer.ask({ do: 'run' })
        return { seconds: Number(seconds), outcome: outcome as number[] }
      },
      peak: async () => ({ peakBytes: Number((await peer.ask({ do: 'peak' })).bytes), memory: 'rss' }),
      close,
    }
  } catch (error) {
    close()
    signal.throwIfAborted()
    return { labels, skipped: (error as Error).message }
  }
}
