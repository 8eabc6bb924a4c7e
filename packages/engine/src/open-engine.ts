import { type ErrorKind, MeshflError } from '@meshfl/core'
import { fp32Only } from './check-inputs.js'
import type { Engine, Precision, SessionDefaults } from './engine.js'
import { loadAddon } from './native/addon.js'
import { chooseInstructionSet, createCpuEngine } from './native/cpu-engine.js'
import { createCudaEngine } from './native/cuda-engine.js'
import { loadWasmModule } from './wasm/module.js'
import { createWasmEngine } from './wasm/wasm-engine.js'

export type EngineName = Engine['name']

/** In the order in which `openEngine` prefers them. */
export const ENGINE_NAMES: readonly EngineName[] = ['cuda', 'cpu', 'wasm']

/** Whether an engine can be had on this machine, and why not. */
export interface EngineProbe {
  name: EngineName
  available: boolean
  /** What speaks for or against it. */
  reason: string
  /** What would make it available. */
  hint?: string
  /** `usage` when the words of the one who asks are what speaks against it. */
  kind?: ErrorKind
}

export interface OpenOptions extends SessionDefaults {
  /** An engine, or one of several GPUs: `cuda:1`. Default: the first available of cuda, cpu, wasm. */
  device?: EngineName | `cuda:${number}`
}

async function probeCuda(): Promise<EngineProbe> {
  const found = await loadAddon('cuda')
  if (!('addon' in found)) return { name: 'cuda', available: false, ...found }
  const gpus = (found.addon.devices('cuda') ?? []).map(
    ({ name, instructionSet }, index) => `cuda:${index} ${name} (${instructionSet})`,
  )
  return { name: 'cuda', available: true, reason: gpus.join(', ') }
}

async function probeCpu(precision: Precision): Promise<EngineProbe> {
  const found = await loadAddon('cpu')
  if (!('addon' in found)) return { name: 'cpu', available: false, ...found }
  try {
    const instructionSet = chooseInstructionSet(found.addon, precision)
    return { name: 'cpu', available: true, reason: `native kernels with ${instructionSet}` }
  } catch (error) {
    if (!(error instanceof MeshflError)) throw error
    const { message, hint, kind } = error
    return { name: 'cpu', available: false, reason: message, kind, ...(hint === undefined ? {} : { hint }) }
  }
}

async function probeWasm(): Promise<EngineProbe> {
  try {
    const { instructionSet } = await loadWasmModule()
    return { name: 'wasm', available: true, reason: `WebAssembly with ${instructionSet} and threads` }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { name: 'wasm', available: false, reason, hint: 'use Node 20.19 or later, and an undamaged installation' }
  }
}

const PROBES: Record<EngineName, (precision: Precision) => Promise<EngineProbe>> = {
  cuda: probeCuda,
  cpu: probeCpu,
  wasm: probeWasm,
}

/** Every engine with its verdict, best first. */
export async function probeEngines(precision: Precision = 'fp32'): Promise<EngineProbe[]> {
  return Promise.all(ENGINE_NAMES.map((name) => PROBES[name](precision)))
}

function unavailable({ name, reason, hint, kind }: EngineProbe, why: string): MeshflError {
  return new MeshflError('ENGINE_UNAVAILABLE', `${why} ${name}: ${reason}`, {
    ...(kind === undefined ? {} : { kind }),
    ...(hint === undefined ? {} : { hint }),
    data: { engine: name },
  })
}

function engineNamed(word: string, by: string): EngineName {
  const name = ENGINE_NAMES.find((known) => known === word)
  if (name) return name
  throw new MeshflError('ENGINE_UNAVAILABLE', `${by} names an unknown engine: ${word}`, {
    kind: 'usage',
    hint: `name ${ENGINE_NAMES.join(', ')}`,
  })
}

/** The names in `MESHFL_REQUIRE` (such as `wasm,cpu`): engines whose absence is an error. */
function requiredEngines(): EngineName[] {
  const words = (process.env.MESHFL_REQUIRE ?? '').split(',').map((word) => word.trim())
  return words.filter(Boolean).map((word) => engineNamed(word, 'MESHFL_REQUIRE'))
}

/** The first engine that can be had, in the order of preference: those after it are not looked at, as a driver that hangs may be. */
async function preferred(probe: (name: EngineName) => Promise<EngineProbe>): Promise<EngineName> {
  // Whoever names an instruction set has chosen the engine that has them; another one would pass that over without a word.
  if (process.env.MESHFL_CPU_ISA) {
    const found = await probe('cpu')
    if (found.available) return 'cpu'
    throw unavailable({ ...found, kind: 'usage' }, 'MESHFL_CPU_ISA asks for')
  }
  for (const name of ENGINE_NAMES) {
    if ((await probe(name)).available) return name
  }
  throw unavailable(await probe(ENGINE_NAMES.at(-1)!), 'no engine can be had, not even')
}

/**
 * Opens the engine asked for, or the best that this machine has. Of the others it looks only at those that `MESHFL_REQUIRE` names, or
 * that are better.
 * @throws MeshflError `ENGINE_UNAVAILABLE` when it, or one that `MESHFL_REQUIRE` names, cannot be had, or not with `MESHFL_CPU_ISA`;
 *   `MODEL_UNSUPPORTED` when it does not compute in the precision asked for
 */
export async function openEngine(options: OpenOptions = {}): Promise<Engine> {
  const { device, ...defaults } = options
  const probe = (name: EngineName): Promise<EngineProbe> => PROBES[name](defaults.precision ?? 'fp32')
  for (const name of requiredEngines()) {
    const found = await probe(name)
    if (!found.available) throw unavailable(found, 'MESHFL_REQUIRE asks for')
  }
  const [asked, index] = device?.split(':') ?? []
  const name = asked === undefined ? await preferred(probe) : engineNamed(asked, 'the device')
  const found = await probe(name)
  if (!found.available) throw unavailable(found, 'cannot open')
  if (name === 'cuda') return createCudaEngine({ ...defaults, ...(index ? { device: Number(index) } : {}) })
  if (name === 'cpu') return createCpuEngine(defaults)
  if (defaults.precision === 'bf16') throw fp32Only(name)
  return createWasmEngine(defaults)
}
