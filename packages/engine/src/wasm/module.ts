import { readFile } from 'node:fs/promises'
import { setFlagsFromString } from 'node:v8'

export type WasmInstructionSet = 'relaxed-simd' | 'simd128'

export interface WasmModule {
  module: WebAssembly.Module
  instructionSet: WasmInstructionSet
}

const FILES: Record<WasmInstructionSet, string> = {
  'relaxed-simd': 'meshfl-relaxed.wasm',
  simd128: 'meshfl-simd128.wasm',
}

/** Where a committed file of the engine lies: the same from `src/wasm` and `dist/wasm`. */
export const wasmFile = (name: string): URL => new URL(`../../wasm/${name}`, import.meta.url)

/** Node 20 knows relaxed SIMD only by a flag; later ones have it on. */
function enableRelaxedSimd(): void {
  if (Number.parseInt(process.versions.node, 10) < 22) setFlagsFromString('--experimental-wasm-relaxed-simd')
}

async function load(): Promise<WasmModule> {
  const forced = process.env.MESHFL_WASM
  if (forced !== 'simd128') {
    enableRelaxedSimd()
    const bytes = await readFile(wasmFile(FILES['relaxed-simd']))
    if (WebAssembly.validate(bytes)) return { module: await WebAssembly.compile(bytes), instructionSet: 'relaxed-simd' }
  }
  const bytes = await readFile(wasmFile(FILES.simd128))
  return { module: await WebAssembly.compile(bytes), instructionSet: 'simd128' }
}

let loaded: Promise<WasmModule> | undefined

/**
 * The compiled kernels, once a process: with relaxed SIMD (fused multiply-add) where the runtime has it, else with plain 128-bit
 * vectors. `MESHFL_WASM=simd128` forces the latter. Rejects with what Node says when WebAssembly cannot run them.
 */
export function loadWasmModule(): Promise<WasmModule> {
  loaded ??= load()
  return loaded
}
