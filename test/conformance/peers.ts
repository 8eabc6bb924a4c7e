import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { findPeers } from '../../cli/src/bench/peer-entrant.js'

interface OnnxTensor {
  dims: number[]
  data: Float32Array
}

/** As much of onnxruntime-node as is needed here. */
interface OnnxRuntime {
  Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => OnnxTensor
  InferenceSession: {
    create(model: Uint8Array): Promise<{ run(feeds: Record<string, OnnxTensor>): Promise<Record<string, OnnxTensor>> }>
  }
}

/** A python3 that has PyTorch, and onnxruntime-node, where `meshfl bench` finds them. */
export function openPeers(): { python: string | null; runtime: OnnxRuntime | null } {
  const { python, onnxruntime } = findPeers()
  const runtime = onnxruntime === null ? null : (createRequire(import.meta.url)(onnxruntime) as OnnxRuntime)
  return { python, runtime }
}

/** Runs a Python script on standard input; what it prints. */
export function runPython(python: string, script: string, args: readonly string[]): string {
  return execFileSync(python, ['-', ...args], { input: script, encoding: 'utf8' })
}
