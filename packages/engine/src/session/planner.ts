import { MeshflError, type MeshNetSpec } from '@meshfl/core'
import type { Grid, MemoryPlan, SessionOptions } from '../engine.js'
import { fewestTensors, keptBlocks } from './kept-blocks.js'
import { disposed, type Machine } from './machine.js'
import { type Run, requestWords } from './request.js'

type Wanted = Omit<Run, 'keptBlocks'>

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
      recomputedBlocks: this.#recomputedBlocks(training.keptBlocks),
    }
  }

  /**
   * Lays out the memory for a run, and makes it that large.
   * @throws MeshflError `ENGINE_MEMORY`
   */
  prepare(run: Wanted): Machine {
    const machine = this.#held()
    const { bytes, keptBlocks } = this.#choose(run)
    if (bytes > this.#limit) throw this.#tooLarge(run, bytes)
    try {
      machine.prepare(requestWords(this.spec, this.grid, machine.threads, { ...run, keptBlocks }), bytes)
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

  /** The plan that computes least again among those that `checkpointing` allows and that fit, else the smallest. */
  #choose(run: Wanted, grid = this.grid): { bytes: number; keptBlocks: number[] } {
    const machine = this.#held()
    const blocks = this.spec.dilations.length
    const plan = (tensors: number) => {
      const kept = keptBlocks(blocks, tensors)
      const words = requestWords(this.spec, grid, machine.threads, { ...run, keptBlocks: kept })
      return { bytes: machine.plan(words), keptBlocks: kept }
    }
    const checkpointing = this.options.checkpointing ?? 'auto'
    const fewest = run.mode !== 'train' || checkpointing === 'none' ? blocks : fewestTensors(blocks)
    if (checkpointing === 'layer') return plan(fewest)
    for (let tensors = blocks; tensors > fewest; tensors--) {
      const found = plan(tensors)
      if (found.bytes <= this.#limit) return found
    }
    return plan(fewest)
  }

  #recomputedBlocks(kept: readonly number[]): number[] {
    return this.spec.dilations.flatMap((_, block) => (kept.includes(block) ? [] : [block]))
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
