import { MeshflError, type MeshNetSpec } from '@meshfl/core'
import type { Grid, MemoryPlan, SessionOptions } from '../engine.js'
import { type Kernels, MOST_BYTES, type Offsets, PAGE_BYTES, plannedOffsets, planRun, type Run } from './request.js'

type Wanted = Omit<Run, 'keepEvery'>

const TRAINING: Wanted = { mode: 'train', volumes: 1, floatImages: false, logits: false }
const FORWARD: Wanted = { mode: 'forward', volumes: 1, floatImages: false, logits: false }

/** Decides what a session's memory holds, and gives views of it. */
export class WasmPlanner {
  readonly memoryPlan: MemoryPlan
  readonly #limit: number
  #memory: WebAssembly.Memory | undefined

  /** @throws MeshflError `ENGINE_MEMORY` when not even a forward pass fits */
  constructor(
    readonly kernels: Kernels,
    memory: WebAssembly.Memory,
    readonly spec: MeshNetSpec,
    readonly grid: Grid,
    readonly threads: number,
    readonly options: SessionOptions,
  ) {
    this.#memory = memory
    this.#limit = Math.min(options.maxMemoryBytes ?? MOST_BYTES, MOST_BYTES)
    const forward = this.#choose(FORWARD)
    if (forward.bytes > this.#limit) throw this.#tooLarge(FORWARD, forward.bytes)
    const training = spec.normalization === 'instance' ? forward : this.#choose(TRAINING)
    this.memoryPlan = {
      plannedBytes: training.bytes,
      peakBytes: 0,
      recomputedBlocks: this.#recomputedBlocks(training.keepEvery),
    }
  }

  /**
   * Lays out the memory for a run, and makes it that large.
   * @throws MeshflError `ENGINE_MEMORY`
   */
  prepare(run: Wanted): Offsets {
    const { bytes, keepEvery } = this.#choose(run)
    if (bytes > this.#limit) throw this.#tooLarge(run, bytes)
    const memory = this.#held()
    planRun(this.kernels, memory, this.spec, this.grid, this.threads, { ...run, keepEvery })
    const missing = Math.ceil((bytes - memory.buffer.byteLength) / PAGE_BYTES)
    try {
      if (missing > 0) memory.grow(missing)
    } catch (error) {
      throw this.#tooLarge(run, bytes, error)
    }
    this.memoryPlan.peakBytes = Math.max(this.memoryPlan.peakBytes, bytes)
    return plannedOffsets(this.kernels)
  }

  bytes(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#held().buffer, offset, length)
  }

  floats(offset: number, length: number): Float32Array {
    return new Float32Array(this.#held().buffer, offset, length)
  }

  doubles(offset: number, length: number): Float64Array {
    return new Float64Array(this.#held().buffer, offset, length)
  }

  dispose(): void {
    this.#memory = undefined
  }

  #held(): WebAssembly.Memory {
    if (!this.#memory) {
      throw new MeshflError('ENGINE_DISPOSED', 'the session was disposed', { hint: 'create another session' })
    }
    return this.#memory
  }

  /** Every k that `checkpointing` allows, the one that recomputes least among those that fit, else the smallest. */
  #choose(run: Wanted, grid = this.grid): { bytes: number; keepEvery: number } {
    const plan = (keepEvery: number) => ({
      bytes: planRun(this.kernels, this.#held(), this.spec, grid, this.threads, { ...run, keepEvery }),
      keepEvery,
    })
    const checkpointing = this.options.checkpointing ?? 'auto'
    if (run.mode !== 'train' || checkpointing === 'none') return plan(1)
    const plans = this.spec.dilations.map((_, index) => plan(index + 1))
    const fitting = checkpointing === 'auto' ? plans.find(({ bytes }) => bytes <= this.#limit) : undefined
    return fitting ?? plans.reduce((least, other) => (other.bytes < least.bytes ? other : least))
  }

  #recomputedBlocks(keepEvery: number): number[] {
    const blocks = this.spec.dilations.length
    const lastSegment = Math.floor((blocks - 1) / keepEvery) * keepEvery
    return this.spec.dilations.flatMap((_, block) =>
      block < lastSegment && (block + 1) % keepEvery !== 0 ? [block] : [],
    )
  }

  #tooLarge(run: Wanted, bytes: number, cause?: unknown): MeshflError {
    const { depth, height, width } = this.grid
    const scaled = (factor: number): Grid => ({
      depth: Math.max(1, Math.floor(depth * factor)),
      height: Math.max(1, Math.floor(height * factor)),
      width: Math.max(1, Math.floor(width * factor)),
    })
    let fits = 0
    for (let step = 0.5; step > 0.001; step /= 2) {
      if (this.#choose(run, scaled(fits + step)).bytes <= this.#limit) fits += step
    }
    const largest = scaled(fits)
    const what = run.mode === 'train' ? 'a training step' : 'a forward pass'
    const recompute = run.mode === 'train' && this.options.checkpointing === 'none' ? "checkpointing: 'auto', or " : ''
    return new MeshflError(
      'ENGINE_MEMORY',
      `${what} on ${run.volumes} x ${width}x${height}x${depth} voxels needs ${bytes} bytes; there may be ${this.#limit}`,
      {
        hint:
          fits > 0
            ? `use ${recompute}a grid of ${largest.width}x${largest.height}x${largest.depth}, which would fit`
            : 'allow more memory',
        data: { neededBytes: bytes, limitBytes: this.#limit, largestGrid: fits > 0 ? largest : null },
        cause,
      },
    )
  }
}
