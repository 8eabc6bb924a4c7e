import { MeshflError, type MeshNetSpec } from '@meshfl/core'
import type { Grid, MemoryPlan, SessionOptions } from '../engine.js'
import { disposed, type Machine } from './machine.js'
import { type Run, requestWords } from './request.js'

type Wanted = Omit<Run, 'keepEvery' | 'precision'>

const TRAINING: Wanted = { mode: 'train', volumes: 1, floatImages: false, logits: false }
const FORWARD: Wanted = { mode: 'forward', volumes: 1, floatImages: false, logits: false }

/** Decides what a session's memory holds. */
export class Planner {
  readonly memoryPlan: MemoryPlan
  readonly #limit: number
  #machine: Machine | undefined

  /** @throws MeshflError `ENGINE_MEMORY` when not even a forward pass fits */
  constructor(
    machine: Machine,
    readonly spec: MeshNetSpec,
    readonly grid: Grid,
    readonly options: SessionOptions,
  ) {
    this.#machine = machine
    this.#limit = Math.min(options.maxMemoryBytes ?? machine.mostBytes, machine.mostBytes)
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
  prepare(run: Wanted): Machine {
    const machine = this.#held()
    const { bytes, keepEvery } = this.#choose(run)
    if (bytes > this.#limit) throw this.#tooLarge(run, bytes)
    try {
      machine.prepare(this.#words(run, keepEvery, this.grid), bytes)
    } catch (error) {
      throw this.#tooLarge(run, bytes, error)
    }
    this.memoryPlan.peakBytes = Math.max(this.memoryPlan.peakBytes, bytes)
    return machine
  }

  dispose(): void {
    this.#machine?.dispose()
    this.#machine = undefined
  }

  #held(): Machine {
    if (!this.#machine) throw disposed()
    return this.#machine
  }

  #words(run: Wanted, keepEvery: number, grid: Grid): Uint32Array {
    const { precision = 'fp32' } = this.options
    return requestWords(this.spec, grid, this.#held().threads, { ...run, keepEvery, precision })
  }

  /** Every k that `checkpointing` allows, the one that recomputes least among those that fit, else the smallest. */
  #choose(run: Wanted, grid = this.grid): { bytes: number; keepEvery: number } {
    const machine = this.#held()
    const plan = (keepEvery: number) => ({
      bytes: machine.plan(this.#words(run, keepEvery, grid)),
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
