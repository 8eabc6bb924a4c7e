import { formatBytes, MeshflError, type MeshNetSpec } from '@meshfl/core'
import type { Grid, MemoryPlan, SessionOptions } from '../engine.js'
import { fewestTensors, keptBlocks } from './kept-blocks.js'
import { disposed, type Machine } from './machine.js'
import { type Run, requestWords } from './request.js'
import { largestThatFits, mostThatFit } from './what-fits.js'

type Wanted = Omit<Run, 'keptBlocks' | 'precision'>

interface Choice {
  bytes: number
  keptBlocks: number[]
}

/** Decides what a session's memory holds. */
export class Planner {
  readonly memoryPlan: MemoryPlan
  readonly #limit: number
  #machine: Machine | undefined

  /** @throws MeshflError `ENGINE_MEMORY` when what the session is for does not fit */
  constructor(
    machine: Machine,
    readonly spec: MeshNetSpec,
    readonly grid: Grid,
    readonly options: SessionOptions,
  ) {
    this.#machine = machine
    this.#limit = Math.min(options.maxMemoryBytes ?? machine.mostBytes, machine.mostBytes)
    const trains = (options.purpose ?? 'train') === 'train' && spec.normalization !== 'instance'
    const volumes = options.batchSize ?? 1
    const run: Wanted = { mode: trains ? 'train' : 'forward', volumes, floatImages: false, logits: false }
    const { bytes, keptBlocks } = this.#choose(run)
    if (bytes > this.#limit) throw this.#tooLarge(run, bytes)
    this.memoryPlan = {
      plannedBytes: bytes,
      limitBytes: this.#limit,
      peakBytes: 0,
      recomputedBlocks: trains ? spec.dilations.flatMap((_, block) => (keptBlocks.includes(block) ? [] : [block])) : [],
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
      machine.prepare(this.#words(run, keptBlocks, this.grid), bytes)
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

  #words(run: Wanted, keptBlocks: readonly number[], grid: Grid): Uint32Array {
    const { precision = 'fp32' } = this.options
    return requestWords(this.spec, grid, this.#held().threads, { ...run, keptBlocks, precision })
  }

  /** The plan that computes least again among those that `checkpointing` allows and that fit, else the smallest. */
  #choose(run: Wanted, grid = this.grid, checkpointing = this.options.checkpointing ?? 'auto'): Choice {
    const machine = this.#held()
    const blocks = this.spec.dilations.length
    const plan = (tensors: number): Choice => {
      const kept = keptBlocks(blocks, tensors)
      return { bytes: machine.plan(this.#words(run, kept, grid)), keptBlocks: kept }
    }
    const fewest = run.mode !== 'train' || checkpointing === 'none' ? blocks : fewestTensors(blocks)
    if (checkpointing === 'layer') return plan(fewest)
    for (let tensors = blocks; tensors > fewest; tensors--) {
      const found = plan(tensors)
      if (found.bytes <= this.#limit) return found
    }
    return plan(fewest)
  }

  /** @param cause what the system said when it had less than the limit allows */
  #tooLarge(run: Wanted, bytes: number, cause?: unknown): MeshflError {
    const limit = cause === undefined ? this.#limit : bytes - 1
    const fits = (wanted: Wanted, grid: Grid): boolean => this.#choose(wanted, grid).bytes <= limit
    const least = this.#choose(run, this.grid, 'layer').bytes
    const grid = largestThatFits(this.grid, (smaller) => fits(run, smaller))
    const volumes = mostThatFit(run.volumes - 1, (fewer) => fits({ ...run, volumes: fewer }, this.grid))
    const { depth, height, width } = this.grid
    const { mostBytes } = this.#held()
    const ways = [
      ...(least < bytes && least <= limit
        ? [`recompute layers (checkpointing 'auto'), which takes ${atMost(least)}`]
        : []),
      ...(volumes > 0 ? [`take ${volumes} ${volumes === 1 ? 'volume' : 'volumes'} a batch`] : []),
      ...(grid ? [`use a grid of ${grid.width}x${grid.height}x${grid.depth}`] : []),
      ...(cause === undefined && limit < mostBytes && least <= mostBytes ? [`allow ${atMost(least)} of memory`] : []),
    ]
    const what = run.mode === 'train' ? 'a training step' : 'a forward pass'
    const recomputed = least === bytes && run.mode === 'train' ? ', with layers computed again' : ''
    const there = cause === undefined ? `there may be ${formatBytes(limit)}` : 'the system has less'
    return new MeshflError(
      'ENGINE_MEMORY',
      `${what} on ${run.volumes} x ${width}x${height}x${depth} voxels takes ${formatBytes(bytes)}${recomputed}; ${there}`,
      {
        hint:
          ways.length > 0
            ? `what would fit: ${ways.join(', or ')}`
            : 'use a smaller model, or a machine with more memory',
        data: {
          neededBytes: bytes,
          leastBytes: least,
          limitBytes: this.#limit,
          largestBatch: volumes,
          largestGrid: grid,
        },
        cause,
      },
    )
  }
}

/** Three digits, rounded up: so much is enough. */
function atMost(bytes: number): string {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(bytes)) - 2)
  return formatBytes(Math.ceil(bytes / unit) * unit)
}
