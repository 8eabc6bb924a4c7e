import { readFile } from 'node:fs/promises'
import { packageFile } from '@meshfl/core'

type WasmInstructionSet = 'relaxed-simd' | 'simd128'

export interface WasmModule {
  module: WebAssembly.Module
  instructionSet: WasmInstructionSet
}

const FILES: Record<WasmInstructionSet, string> = {
  'relaxed-simd': 'meshfl-relaxed.wasm',
  simd128: 'meshfl-simd128.wasm',
}

/** Where a committed file of the engine lies. */
export const wasmFile = (name: string): URL => packageFile('@meshfl/engine', `wasm/${name}`, import.meta.url)

async function load(): Promise<WasmModule> {
  if (process.env.MESHFL_WASM !== 'simd128') {
    const bytes = await readFile(wasmFile(FILES['relaxed-simd']))
    if (WebAssembly.validate(bytes)) return { module: await WebAssembly.compile(bytes), instructionSet: 'relaxed-simd' }
  }
  const bytes = await readFile(wasmFile(FILES.simd128))
  return { module: await WebAssembly.compile(bytes), instructionSet: 'simd128' }
}

let loaded: Promise<WasmModule> | undefined

/**
 * The compiled kernels, once a process: with relaxed SIMD (fused multiply-add) where the runtime has it on, else with plain
 * 128-bit vectors. Node 20 has relaxed SIMD only behind a flag, and compiles it to code half as fast as plain vectors, so it is
 * left off there. `MESHFL_WASM=simd128` forces plain vectors. Rejects with what Node says when it cannot run WebAssembly.
 */
export function loadWasmModule(): Promise<WasmModule> {
  loaded ??= load()
  return loaded
}
