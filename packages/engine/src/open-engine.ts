import { MeshflError } from '@meshfl/core'
import { fp32Only } from './check-inputs.js'
import type { Engine, SessionDefaults } from './engine.js'
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

async function probeCpu(): Promise<EngineProbe> {
  const found = await loadAddon('cpu')
  if (!('addon' in found)) return { name: 'cpu', available: false, ...found }
  try {
    return { name: 'cpu', available: true, reason: `native kernels with ${chooseInstructionSet(found.addon, 'fp32')}` }
  } catch (error) {
    if (!(error instanceof MeshflError)) throw error
    const { message, hint } = error
    return { name: 'cpu', available: false, reason: message, ...(hint === undefined ? {} : { hint }) }
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

const PROBES: Record<EngineName, () => Promise<EngineProbe>> = {
  cuda: probeCuda,
  cpu: probeCpu,
  wasm: probeWasm,
}

/** Every engine with its verdict, best first. */
export async function probeEngines(): Promise<EngineProbe[]> {
  return Promise.all(ENGINE_NAMES.map((name) => PROBES[name]()))
}

function unavailable({ name, reason, hint }: EngineProbe, why: string): MeshflError {
  return new MeshflError('ENGINE_UNAVAILABLE', `${why} ${name}: ${reason}`, {
    ...(hint === undefined ? {} : { hint }),
    data: { engine: name },
  })
}

/** The names in `MESHFL_REQUIRE` (such as `wasm,cpu`): engines whose absence is an error. */
function requiredEngines(): EngineName[] {
  const words = (process.env.MESHFL_REQUIRE ?? '').split(',').map((word) => word.trim())
  return words.filter(Boolean).map((word) => {
    const name = ENGINE_NAMES.find((known) => known === word)
    if (name) return name
    throw new MeshflError('ENGINE_UNAVAILABLE', `MESHFL_REQUIRE names an unknown engine: ${word}`, {
      kind: 'usage',
      hint: `name ${ENGINE_NAMES.join(', ')}`,
    })
  })
}

/**
 * Opens the engine asked for, or the best that this machine has.
 * @throws MeshflError `ENGINE_UNAVAILABLE` when it, or one that `MESHFL_REQUIRE` names, cannot be had;
 *   `MODEL_UNSUPPORTED` when it does not compute in the precision asked for
 */
export async function openEngine(options: OpenOptions = {}): Promise<Engine> {
  const probes = await probeEngines()
  for (const name of requiredEngines()) {
    const found = probes.find((entry) => entry.name === name)
    if (found && !found.available) throw unavailable(found, 'MESHFL_REQUIRE asks for')
  }
  const [asked, index] = options.device?.split(':') ?? []
  const chosen = probes.find(({ name, available }) => (asked === undefined ? available : name === asked))
  if (!chosen) throw unavailable(probes.at(-1)!, 'no engine can be had, not even')
  if (!chosen.available) throw unavailable(chosen, 'cannot open')
  const { device: _, ...defaults } = options
  if (chosen.name === 'cuda') return createCudaEngine({ ...defaults, ...(index ? { device: Number(index) } : {}) })
  if (chosen.name === 'cpu') return createCpuEngine(defaults)
  if (defaults.precision === 'bf16') throw fp32Only(chosen.name)
  return createWasmEngine(defaults)
}
