import { Worker, type WorkerOptions } from 'node:worker_threads'
import { disposed } from '../session/machine.js'
import { OUTCOME } from '../session/request.js'
import { threadsRefused } from '../session/threads.js'
import { type Kernels, STACK_BYTES } from './kernels.js'
import { wasmFile } from './module.js'

/** The workers of one session. The main thread only posts and listens; between themselves they wait inside WebAssembly. */
export class WasmTeam {
  readonly #workers: Worker[] = []
  readonly #memory: WebAssembly.Memory
  readonly #kernels: Kernels
  #failure: Error | undefined
  #settle: { waiting: number; outcome: number; resolve(outcome: number): void; reject(error: Error): void } | undefined

  /**
   * @param start makes a worker of its file and options
   * @throws MeshflError `ENGINE_THREADS` when the system does not start them all; those that it did start are ended
   */
  constructor(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    kernels: Kernels,
    threads: number,
    start = (file: URL, options: WorkerOptions): Worker => new Worker(file, options),
  ) {
    this.#memory = memory
    this.#kernels = kernels
    for (let thread = 0; thread < threads; thread++) {
      const stackTop = kernels.__heap_base.value + (thread + 1) * STACK_BYTES
      try {
        const worker = start(wasmFile('worker.js'), {
          name: `meshfl-wasm-${thread}`,
          // A stack grows down from a multiple of 16; the heap's base is one.
          workerData: { module, memory, stackTop: stackTop & ~15, thread },
          execArgv: [], // some of the process's own, such as --input-type, would keep a worker from starting
        })
        this.#workers.push(worker)
        worker.on('message', (outcome: number) => this.#finished(outcome))
        worker.on('error', (error) =>
          this.#fail(new Error(`the wasm engine broke down: ${error.message}`, { cause: error })),
        )
        worker.on('exit', (code) => this.#fail(new Error(`a worker of the wasm engine ended (${code})`)))
        worker.unref()
      } catch (cause) {
        const refused = threadsRefused(threads, cause)
        this.#fail(refused)
        throw refused
      }
    }
  }

  /**
   * Runs what is planned and filled in, on all workers.
   * @throws the signal's reason when it is aborted
   */
  async run(signal: AbortSignal | undefined): Promise<number> {
    signal?.throwIfAborted()
    if (this.#failure) throw this.#failure
    this.#kernels.mfl_reset()
    const cancel = (): void => {
      Atomics.store(new Int32Array(this.#memory.buffer, this.#kernels.mfl_cancel_flag(), 1), 0, 1)
    }
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      const outcome = await new Promise<number>((resolve, reject) => {
        this.#settle = { waiting: this.#workers.length, outcome: OUTCOME.done, resolve, reject }
        for (const worker of this.#workers) {
          worker.ref()
          worker.postMessage('run')
        }
      })
      if (outcome === OUTCOME.cancelled) throw signal?.reason
      return outcome
    } finally {
      signal?.removeEventListener('abort', cancel)
      for (const worker of this.#workers) worker.unref()
    }
  }

  /** Ends the workers; a run in progress is rejected with `ENGINE_DISPOSED`. */
  dispose(): void {
    this.#fail(disposed())
  }

  #finished(outcome: number): void {
    const settle = this.#settle
    if (!settle) return
    settle.outcome = outcome
    settle.waiting--
    if (settle.waiting > 0) return
    this.#settle = undefined
    settle.resolve(settle.outcome)
  }

  /** One worker less and the others would wait for it for ever: end them all. */
  #fail(error: Error): void {
    if (this.#failure) return
    this.#failure = error
    const settle = this.#settle
    this.#settle = undefined
    for (const worker of this.#workers) void worker.terminate()
    settle?.reject(error)
  }
}
