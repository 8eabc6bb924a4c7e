import { MeshflError, type MeshNetSpec } from '@meshfl/core'
import { checkGrid, checkSpec, fp32Only } from '../check-inputs.js'
import type { DeviceInfo, Engine, Grid, Session, SessionDefaults, SessionOptions } from '../engine.js'
import { sessionMemoryBytes } from '../session/memory-bytes.js'
import { MachineSession } from '../session/session.js'
import { countThreads, processorName } from '../session/threads.js'
import { type Kernels, MOST_BYTES, WASM_ABI_VERSION } from './kernels.js'
import { loadWasmModule, type WasmModule } from './module.js'
import { WasmMachine } from './wasm-machine.js'

const INITIAL_PAGES = 32

const mostBytes = (): number => Math.min(MOST_BYTES, sessionMemoryBytes())

function createMemory(): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: 65536, shared: true })
  } catch (cause) {
    throw new MeshflError('ENGINE_MEMORY', 'this process cannot reserve the addresses of another session', {
      hint: 'dispose sessions that are no longer used, or raise the limit on virtual memory (ulimit -v)',
      cause,
    })
  }
}

class WasmEngine implements Engine {
  readonly name = 'wasm'
  readonly precision = 'fp32'
  readonly device: DeviceInfo
  readonly #module: WebAssembly.Module
  readonly #defaults: SessionDefaults

  constructor({ module, instructionSet }: WasmModule, defaults: SessionDefaults) {
    this.#module = module
    this.#defaults = defaults
    const count = countThreads(defaults.threads)
    this.device = {
      name: processorName(count),
      instructionSet,
      memoryBytes: mostBytes(),
    }
  }

  async createSession(spec: MeshNetSpec, grid: Grid, options: SessionOptions = {}): Promise<Session> {
    if (options.precision === 'bf16') {
      throw fp32Only('wasm')
    }
    const checked = checkSpec(spec)
    checkGrid(grid)
    const asked = { ...this.#defaults, ...options }
    const threads = countThreads(asked.threads)
    const memory = createMemory()
    const kernels = new WebAssembly.Instance(this.#module, { env: { memory } }).exports as unknown as Kernels
    if (kernels.mfl_abi_version() !== WASM_ABI_VERSION) throw new Error('the .wasm and its adapter differ: build both')
    const machine = new WasmMachine(this.#module, memory, kernels, threads, mostBytes())
    return new MachineSession(machine, checked, { ...grid }, asked)
  }
}

/** The engine that runs wherever Node does. Compiles the kernels on the first call of a process. */
export async function createWasmEngine(defaults: SessionDefaults = {}): Promise<Engine> {
  return new WasmEngine(await loadWasmModule(), defaults)
}
