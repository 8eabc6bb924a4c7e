import { MeshflError, type MeshNetSpec } from '@meshfl/core'
import { checkGrid, checkSpec } from '../check-inputs.js'
import type { DeviceInfo, Engine, Grid, Precision, Session, SessionDefaults, SessionOptions } from '../engine.js'
import { MachineSession } from '../session/session.js'
import { type Addon, loadAddon, type NativeBackend, type NativeError, type NativeSession, STATUS } from './addon.js'
import { NativeMachine } from './native-machine.js'

export interface CudaEngineOptions extends SessionDefaults {
  /** Which GPU, as CUDA counts them. Default: 0. */
  device?: number
}

/** What CUDA itself takes beside a session's buffers: handles of graphs, the stacks of kernels. */
const OVERHEAD_BYTES = 64 * 2 ** 20

/** Tests give the shim's backend a name of its own. */
export class CudaEngine implements Engine {
  readonly name = 'cuda'
  readonly device: DeviceInfo
  readonly precision: Precision
  readonly #addon: Addon
  readonly #backend: NativeBackend
  readonly #index: number
  readonly #defaults: SessionDefaults

  /** @throws MeshflError `ENGINE_UNAVAILABLE` */
  constructor(addon: Addon, { device = 0, ...defaults }: CudaEngineOptions = {}, backend: NativeBackend = 'cuda') {
    this.#addon = addon
    this.#backend = backend
    this.#index = device
    this.#defaults = defaults
    this.precision = defaults.precision ?? 'fp32'
    const { name, instructionSet, freeBytes } = this.#describe()
    this.device = { name, instructionSet, memoryBytes: freeBytes }
  }

  async createSession(spec: MeshNetSpec, grid: Grid, options: SessionOptions = {}): Promise<Session> {
    const checked = checkSpec(spec)
    checkGrid(grid)
    const mostBytes = Math.max(0, this.#describe().freeBytes - OVERHEAD_BYTES)
    const native = this.#open()
    const asked = { ...this.#defaults, precision: this.precision, ...options }
    // Whoever limits the session's memory wants nothing kept beside it.
    const keepsVolumes = asked.maxMemoryBytes === undefined
    return new MachineSession(new NativeMachine(native, 1, { mostBytes, keepsVolumes }), checked, { ...grid }, asked)
  }

  #open(): NativeSession {
    try {
      return new this.#addon.Session(this.#backend, null, 1, this.#index)
    } catch (error) {
      const { message, status } = error as NativeError
      const code = status === STATUS.outOfMemory ? 'ENGINE_MEMORY' : 'ENGINE_UNAVAILABLE'
      throw new MeshflError(code, `the GPU cuda:${this.#index} opens no session: ${message}`, {
        hint: 'end what else uses the GPU (nvidia-smi shows it), or use another',
        data: { engine: 'cuda', device: this.#index },
        cause: error,
      })
    }
  }

  #describe() {
    const devices = this.#addon.devices(this.#backend) ?? []
    const found = devices[this.#index]
    if (found) return found
    throw new MeshflError('ENGINE_UNAVAILABLE', `there is no GPU cuda:${this.#index}`, {
      kind: 'usage',
      hint: `choose from ${devices.map(({ name }, index) => `cuda:${index} (${name})`).join(', ')}`,
      data: { engine: 'cuda', device: this.#index },
    })
  }
}

/**
 * The engine of an NVIDIA GPU.
 * @throws MeshflError `ENGINE_UNAVAILABLE` when the addon is not built with CUDA, or no such GPU can be used
 */
export async function createCudaEngine(options: CudaEngineOptions = {}): Promise<Engine> {
  const found = await loadAddon('cuda')
  if ('addon' in found) return new CudaEngine(found.addon, options)
  throw new MeshflError('ENGINE_UNAVAILABLE', found.reason, { hint: found.hint, data: { engine: 'cuda' } })
}
