import { MeshflError, type MeshNetSpec, type ModelState } from '@meshfl/core'
import {
  type Batch,
  badLabel,
  type Confusion,
  checkGrid,
  checkInputs,
  checkTruth,
  type Engine,
  type ForwardOptions,
  type Grid,
  type LossSpec,
  type Scored,
  type Segmentation,
  type Session,
  type SessionOptions,
  type Step,
  type StepOptions,
  voxelCount,
} from '@meshfl/engine'
import { crossEntropy } from './cross-entropy.js'
import { type Model64, ReferenceNetwork, type Volumes64 } from './network.js'

/**
 * An engine in plain TypeScript that computes in float64 and rounds to float32 only where values cross the interface. For small
 * grids: it is what the other engines are compared with, and what training is tested on.
 */
export function createReferenceEngine(): Engine {
  return {
    name: 'cpu',
    precision: 'fp32',
    device: { name: 'reference (TypeScript)', instructionSet: 'float64', memoryBytes: 2 ** 30 },
    async createSession(spec, grid, options = {}) {
      return new ReferenceSession(spec, grid, options)
    },
  }
}

class ReferenceSession implements Session {
  readonly memory = { plannedBytes: 0, limitBytes: 2 ** 30, peakBytes: 0, recomputedBlocks: [] }
  private readonly network: ReferenceNetwork
  private disposed = false

  constructor(
    private readonly spec: MeshNetSpec,
    readonly grid: Grid,
    { precision = 'fp32' }: SessionOptions,
  ) {
    if (precision !== 'fp32') {
      throw new MeshflError('MODEL_UNSUPPORTED', `the reference engine has no ${precision}`, { hint: 'use fp32' })
    }
    checkGrid(grid)
    this.network = new ReferenceNetwork(spec)
  }

  async forward(model: ModelState, batch: Batch, options: ForwardOptions = {}): Promise<Segmentation> {
    this.check(options.signal, model, batch)
    const logits = this.network.forward(this.widen(model), this.volumes(batch))
    const labels = this.argmax(logits, batch.count)
    return options.logits ? { labels, logits: Float32Array.from(logits) } : { labels }
  }

  async evaluate(
    model: ModelState,
    batch: Batch,
    labels: Uint8Array,
    loss: LossSpec,
    options: { signal?: AbortSignal } = {},
  ): Promise<Scored> {
    this.check(options.signal, model, batch)
    this.checkLabels(batch.count, labels, loss)
    const logits = this.network.forward(this.widen(model), this.volumes(batch))
    return {
      loss: crossEntropy(logits, labels, this.spec.classes, this.voxels, loss).loss,
      confusion: this.confusion(labels, logits, batch.count),
    }
  }

  async forwardBackward(
    model: ModelState,
    batch: Batch,
    labels: Uint8Array,
    loss: LossSpec,
    { signal, seed }: StepOptions,
  ): Promise<Step> {
    this.check(signal, model, batch)
    this.checkLabels(batch.count, labels, loss)
    const step = this.network.step(this.widen(model), this.volumes(batch), labels, loss, seed)
    return {
      loss: step.loss,
      confusion: this.confusion(labels, step.logits, batch.count),
      gradients: Float32Array.from(step.gradients),
      batchStatistics: Float32Array.from(step.batchStatistics),
      statisticSamples: batch.count * this.voxels,
    }
  }

  dispose(): void {
    this.disposed = true
  }

  private get voxels(): number {
    return voxelCount(this.grid)
  }

  private check(signal: AbortSignal | undefined, model: ModelState, batch: Batch): void {
    if (this.disposed) throw new Error('the session was disposed of')
    signal?.throwIfAborted()
    checkInputs(this.spec, this.grid, model, batch)
  }

  private checkLabels(count: number, labels: Uint8Array, loss: LossSpec): void {
    const { classes } = this.spec
    checkTruth(this.spec, this.grid, count, labels, loss)
    if (labels.some((label) => label >= classes)) throw badLabel(classes, labels)
  }

  private widen({ parameters, statistics }: ModelState): Model64 {
    return { parameters: Float64Array.from(parameters), statistics: Float64Array.from(statistics) }
  }

  private volumes({ images, count }: Batch): Volumes64 {
    const values = Float64Array.from(images)
    return {
      images: images instanceof Uint8Array ? values.map((value) => value / 255) : values,
      count,
      grid: this.grid,
    }
  }

  private argmax(logits: Float64Array, count: number): Uint8Array {
    const { voxels, spec } = this
    return Uint8Array.from({ length: count * voxels }, (_, i) => {
      const first = Math.floor(i / voxels) * spec.classes * voxels + (i % voxels)
      let best = 0
      for (let c = 1; c < spec.classes; c++) if (logits[first + c * voxels]! > logits[first + best * voxels]!) best = c
      return best
    })
  }

  private confusion(labels: Uint8Array, logits: Float64Array, count: number): Confusion {
    const { classes } = this.spec
    const predictions = this.argmax(logits, count)
    const counts = new Float64Array(classes * classes)
    for (const [i, truth] of labels.entries()) counts[truth * classes + predictions[i]!]! += 1
    return { classes, counts }
  }
}
