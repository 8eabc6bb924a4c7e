import { MeshflError, type MeshNetSpec, MeshNetSpecSchema } from '@meshfl/core'
import { checkGrid } from '../check-inputs.js'
import type { DeviceInfo, Engine, Grid, Session, SessionDefaults, SessionOptions } from '../engine.js'
import { MachineSession } from '../session/session.js'
import { countThreads, processorName } from '../session/threads.js'
import { type Addon, loadAddon } from './addon.js'
import { memoryBytes } from './memory-bytes.js'
import { NativeMachine } from './native-machine.js'

export interface CpuEngineOptions extends SessionDefaults {
  /** `avx512`, `avx2`, `neon` or `portable`. Default: MESHFL_CPU_ISA, else the best that this CPU has. */
  instructionSet?: string
}

/** The instruction sets that `createCpuEngine` can be asked for on this machine, best first; none without the addon. */
export async function cpuInstructionSets(): Promise<string[]> {
  const found = await loadAddon('cpu')
  return 'addon' in found ? found.addon.instructionSets('cpu') : []
}

/** Floating-point operations a second that so many threads can do in multiply-adds; undefined without the addon. Blocks for a quarter of a second. */
export async function measureCpuPeak(threads: number): Promise<number | undefined> {
  const found = await loadAddon('cpu')
  if (!('addon' in found)) return undefined
  return found.addon.measurePeak('cpu', chooseInstructionSet(found.addon), threads)
}

/** The instruction set asked for by name, by MESHFL_CPU_ISA, or by being the best. */
export function chooseInstructionSet(addon: Addon, asked = process.env.MESHFL_CPU_ISA): string {
  const here = addon.instructionSets('cpu')
  const chosen = asked ? here.find((name) => name === asked) : here[0]
  if (chosen) return chosen
  throw new MeshflError(
    'ENGINE_UNAVAILABLE',
    `cannot compute with ${asked}: this CPU and build have ${here.join(', ')}`,
    {
      kind: 'usage',
      hint: 'set MESHFL_CPU_ISA to one of them, or not at all',
      data: { engine: 'cpu', instructionSet: asked, instructionSets: here },
    },
  )
}

class CpuEngine implements Engine {
  readonly name = 'cpu'
  readonly device: DeviceInfo
  readonly #addon: Addon
  readonly #defaults: SessionDefaults

  constructor(addon: Addon, { instructionSet, ...defaults }: CpuEngineOptions) {
    this.#addon = addon
    this.#defaults = defaults
    this.device = {
      name: processorName(countThreads(defaults.threads)),
      instructionSet: chooseInstructionSet(addon, instructionSet),
      memoryBytes: memoryBytes(),
    }
  }

  async createSession(spec: MeshNetSpec, grid: Grid, options: SessionOptions = {}): Promise<Session> {
    if (options.precision === 'bf16') {
      throw new MeshflError('MODEL_UNSUPPORTED', 'the cpu engine computes in fp32: bf16 is not part of this version', {
        hint: "leave precision out, or ask for 'fp32'",
      })
    }
    const checked = MeshNetSpecSchema.parse(spec)
    checkGrid(grid)
    const asked = { ...this.#defaults, ...options }
    const threads = countThreads(asked.threads)
    const native = new this.#addon.Session('cpu', this.device.instructionSet, threads)
    const machine = new NativeMachine(native, threads, { mostBytes: memoryBytes() })
    return new MachineSession(machine, checked, { ...grid }, asked)
  }
}

/**
 * The native engine of this machine's CPU.
 * @throws MeshflError `ENGINE_UNAVAILABLE` when the addon is not built, or lacks the instruction set asked for
 */
export async function createCpuEngine(options: CpuEngineOptions = {}): Promise<Engine> {
  const found = await loadAddon('cpu')
  if ('addon' in found) return new CpuEngine(found.addon, options)
  throw new MeshflError('ENGINE_UNAVAILABLE', found.reason, { hint: found.hint, data: { engine: 'cpu' } })
}
