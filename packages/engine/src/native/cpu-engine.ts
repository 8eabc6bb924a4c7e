import { MeshflError, type MeshNetSpec } from '@meshfl/core'
import { checkGrid, checkSpec } from '../check-inputs.js'
import type { DeviceInfo, Engine, Grid, Precision, Session, SessionDefaults, SessionOptions } from '../engine.js'
import { sessionMemoryBytes } from '../session/memory-bytes.js'
import { PRECISIONS } from '../session/request.js'
import { MachineSession } from '../session/session.js'
import { countThreads, processorName, threadsRefused } from '../session/threads.js'
import { type Addon, loadAddon, type NativeError, type NativeSession, STATUS } from './addon.js'
import { NativeMachine } from './native-machine.js'

export interface CpuEngineOptions extends SessionDefaults {
  /** One of `cpuInstructionSets`. Default: MESHFL_CPU_ISA, else the best that this CPU has. */
  instructionSet?: string
  /** Default of its sessions; default: fp32. */
  precision?: Precision
}

/** The instruction sets that `createCpuEngine` can be asked for on this machine, best first; none without the addon. */
export async function cpuInstructionSets(precision: Precision = 'fp32'): Promise<string[]> {
  const found = await loadAddon('cpu')
  return 'addon' in found ? found.addon.instructionSets('cpu', PRECISIONS[precision]) : []
}

/** Floating-point operations a second that so many threads can do in multiply-adds; undefined without the addon. Blocks for a quarter of a second. */
export async function measureCpuPeak(threads: number, precision: Precision = 'fp32'): Promise<number | undefined> {
  const found = await loadAddon('cpu')
  if (!('addon' in found)) return undefined
  // MESHFL_CPU_ISA may name one for another precision.
  const here = found.addon.instructionSets('cpu', PRECISIONS[precision])
  const chosen = here.find((name) => name === process.env.MESHFL_CPU_ISA) ?? here[0]!
  try {
    return found.addon.measurePeak('cpu', chosen, threads)
  } catch (cause) {
    // All that can go wrong with an instruction set of this CPU. What the addon says of it is a panic's text, for programmers.
    throw threadsRefused(threads, new Error('those of the measurement do not start', { cause }))
  }
}

/** The instruction set asked for by name, by MESHFL_CPU_ISA, or by being the best for the precision. */
export function chooseInstructionSet(addon: Addon, precision: Precision, asked = process.env.MESHFL_CPU_ISA): string {
  const here = addon.instructionSets('cpu', PRECISIONS[precision])
  const chosen = asked ? here.find((name) => name === asked) : here[0]
  if (chosen) return chosen
  const other = precision === 'fp32' ? 'bf16' : 'fp32'
  const fitsOther = asked !== undefined && addon.instructionSets('cpu', PRECISIONS[other]).includes(asked)
  throw new MeshflError(
    'ENGINE_UNAVAILABLE',
    `cannot compute in ${precision} with ${asked}: this CPU and build have ${here.join(', ')}`,
    {
      kind: 'usage',
      hint: `set MESHFL_CPU_ISA to one of them, or not at all${fitsOther ? `, or compute in ${other}` : ''}`,
      data: { engine: 'cpu', instructionSet: asked, instructionSets: here },
    },
  )
}

class CpuEngine implements Engine {
  readonly name = 'cpu'
  readonly device: DeviceInfo
  readonly #addon: Addon
  readonly precision: Precision
  readonly #defaults: SessionDefaults
  readonly #asked: string | undefined

  constructor(addon: Addon, { instructionSet, ...defaults }: CpuEngineOptions) {
    this.#addon = addon
    this.#asked = instructionSet
    this.#defaults = defaults
    this.precision = defaults.precision ?? 'fp32'
    this.device = {
      name: processorName(countThreads(defaults.threads)),
      instructionSet: chooseInstructionSet(addon, this.precision, instructionSet),
      memoryBytes: sessionMemoryBytes(),
    }
  }

  async createSession(spec: MeshNetSpec, grid: Grid, options: SessionOptions = {}): Promise<Session> {
    const checked = checkSpec(spec)
    checkGrid(grid)
    const asked = { ...this.#defaults, precision: this.precision, ...options }
    const threads = countThreads(asked.threads)
    const instructionSet =
      asked.precision === this.precision
        ? this.device.instructionSet
        : chooseInstructionSet(this.#addon, asked.precision, this.#asked)
    const native = this.#open(instructionSet, threads)
    const machine = new NativeMachine(native, threads, { mostBytes: sessionMemoryBytes() })
    return new MachineSession(machine, checked, { ...grid }, asked)
  }

  #open(instructionSet: string, threads: number): NativeSession {
    try {
      return new this.#addon.Session('cpu', instructionSet, threads)
    } catch (error) {
      // Before its first run a session has nothing but threads.
      if ((error as NativeError).status === STATUS.outOfMemory) throw threadsRefused(threads, error)
      throw error
    }
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
