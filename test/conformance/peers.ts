import { execFileSync, spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from '../e2e/cli.js'

/** A python3 that has PyTorch, as `meshfl bench` looks for it; undefined where there is none. */
export function findTorch(): string | undefined {
  const names = [process.env.MESHFL_PYTHON, 'python3', '/usr/bin/python3'].filter((name) => name !== undefined)
  return names.find((name) => spawnSync(name, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0)
}

/** Runs a Python script on standard input; what it prints. */
export function runPython(python: string, script: string, args: readonly string[]): string {
  return execFileSync(python, ['-', ...args], { input: script, encoding: 'utf8' })
}

interface OnnxTensor {
  dims: number[]
  data: Float32Array
}

/** As much of onnxruntime-node as is needed here. */
export interface OnnxRuntime {
  Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => OnnxTensor
  InferenceSession: {
    create(model: Uint8Array): Promise<{ run(feeds: Record<string, OnnxTensor>): Promise<Record<string, OnnxTensor>> }>
  }
}

/** onnxruntime-node, as `meshfl bench` looks for it: in MESHFL_ONNXRUNTIME's node_modules or ours; undefined where it is not. */
export function findOnnxRuntime(): OnnxRuntime | undefined {
  for (const folder of [process.env.MESHFL_ONNXRUNTIME, root]) {
    if (folder === undefined) continue
    try {
      return createRequire(pathToFileURL(join(folder, 'here.js')))('onnxruntime-node') as OnnxRuntime
    } catch {
      // not installed there
    }
  }
  return undefined
}
