import { MeshflError } from '@meshfl/core'
import { disposed, type Machine, type Values } from '../session/machine.js'
import { OUTCOME, REGIONS, type Region } from '../session/request.js'
import { threadsRefused } from '../session/threads.js'
import { type NativeError, type NativeSession, STATUS } from './addon.js'

/** A session of the addon. */
export class NativeMachine implements Machine {
  readonly mostBytes: number
  readonly #native: NativeSession
  readonly #keepsVolumes: boolean
  #disposed = false
  #reject: ((error: Error) => void) | undefined

  /** @param keepsVolumes whether its device may keep what a key names, beyond the bytes of a plan */
  constructor(
    native: NativeSession,
    readonly threads: number,
    { mostBytes, keepsVolumes = false }: { mostBytes: number; keepsVolumes?: boolean },
  ) {
    this.#native = native
    this.mostBytes = mostBytes
    this.#keepsVolumes = keepsVolumes
  }

  plan(request: Uint32Array): number {
    try {
      return this.#native.plan(request)
    } catch (error) {
      const { message, status } = error as NativeError
      if (status === STATUS.unsupported) {
        throw new MeshflError('MODEL_UNSUPPORTED', `the kernels cannot compute the model on this grid: ${message}`, {
          hint: 'use another engine, or another model or grid',
          cause: error,
        })
      }
      if (status !== STATUS.invalidArgument) throw error
      throw new MeshflError('ENGINE_INPUT', `the kernels refuse the model or the grid: ${message}`, {
        hint: 'ask for a smaller model or grid',
        cause: error,
      })
    }
  }

  prepare(request: Uint32Array): void {
    this.#native.prepare(request)
  }

  write(region: Region, values: Values, key = 0): void {
    this.#native.write(REGIONS.indexOf(region), values, this.#keepsVolumes ? key : 0)
  }

  read(region: Region, to: Values): void {
    this.#native.read(REGIONS.indexOf(region), to)
  }

  async run(signal: AbortSignal | undefined): Promise<number> {
    signal?.throwIfAborted()
    if (this.#disposed) throw disposed()
    const cancel = (): void => {
      if (!this.#disposed) this.#native.cancel()
    }
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      const status = await new Promise<number>((resolve, reject) => {
        this.#start((status, message) => {
          this.#reject = undefined
          if (this.#disposed) this.#native.dispose()
          if (status <= STATUS.badLabel) resolve(status)
          else reject(new Error(`the native engine broke down: ${message}`))
        })
        // Not before: a run that did not start never ends, and dispose would wait for it.
        this.#reject = reject
      })
      if (status === OUTCOME.cancelled) throw signal?.reason
      return status
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
  }

  #start(done: (status: number, message: string) => void): void {
    try {
      this.#native.run(done)
    } catch (error) {
      // The memory was had before; what a run takes of its own is a thread to wait in.
      if ((error as NativeError).status === STATUS.outOfMemory) throw threadsRefused(1, error)
      throw error
    }
  }

  /** A run in progress is told to stop, and its memory freed when it has. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    if (this.#reject) {
      this.#native.cancel()
      this.#reject(disposed())
    } else this.#native.dispose()
  }
}
