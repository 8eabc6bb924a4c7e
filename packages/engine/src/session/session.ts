import { isFloat32Array } from 'node:util/types'
import { MeshflError, type MeshNetSpec, type ModelState } from '@meshfl/core'
import { badLabel, checkInputs, checkOptions, checkTruth, voxelCount } from '../check-inputs.js'
import { dropoutFactors } from '../dropout.js'
import type {
  Batch,
  ForwardOptions,
  Grid,
  LossSpec,
  MemoryPlan,
  Scored,
  Segmentation,
  Session,
  SessionOptions,
  Step,
  StepOptions,
} from '../engine.js'
import { modelLayout } from '../layout.js'
import type { Machine } from './machine.js'
import { Planner } from './planner.js'
import { OUTCOME, type Run } from './request.js'

interface Truth {
  labels: Uint8Array
  loss: LossSpec
  dropoutSeed?: number
}

/** What a run needs beside the model and the batch. */
interface Task {
  run: Omit<Run, 'volumes' | 'floatImages' | 'keptBlocks' | 'precision'>
  truth?: Truth
  signal: AbortSignal | undefined
}

/** Between calls nothing stays in the memory: each lays it out anew, fills in what it reads, and copies out what it gives. */
export class MachineSession implements Session {
  readonly #spec: MeshNetSpec
  readonly #planner: Planner
  #queue: Promise<unknown> = Promise.resolve()

  /** Takes the machine over, also when it throws. */
  constructor(
    machine: Machine,
    spec: MeshNetSpec,
    readonly grid: Grid,
    options: SessionOptions,
  ) {
    this.#spec = spec
    try {
      checkOptions(options)
      this.#planner = new Planner(machine, spec, grid, options)
    } catch (error) {
      machine.dispose()
      throw error
    }
  }

  get memory(): MemoryPlan {
    return this.#planner.memoryPlan
  }

  async forward(model: ModelState, batch: Batch, options: ForwardOptions = {}): Promise<Segmentation> {
    const logits = options.logits ?? false
    const voxels = batch.count * voxelCount(this.grid)
    return this.#enqueue(model, batch, { run: { mode: 'forward', logits }, signal: options.signal }, (from) => {
      const labels = new Uint8Array(voxels)
      from.read('labels', labels)
      if (!logits) return { labels }
      const values = new Float32Array(voxels * this.#spec.classes)
      from.read('logits', values)
      return { labels, logits: values }
    })
  }

  async evaluate(
    model: ModelState,
    batch: Batch,
    labels: Uint8Array,
    loss: LossSpec,
    options: { signal?: AbortSignal } = {},
  ): Promise<Scored> {
    const task: Task = { run: { mode: 'evaluate', logits: false }, truth: { labels, loss }, signal: options.signal }
    return this.#enqueue(model, batch, task, (from) => this.#score(from))
  }

  async forwardBackward(
    model: ModelState,
    batch: Batch,
    labels: Uint8Array,
    loss: LossSpec,
    options: StepOptions,
  ): Promise<Step> {
    if (this.#spec.normalization === 'instance') {
      throw new MeshflError('MODEL_UNSUPPORTED', 'models with instance normalisation run, but do not train', {
        hint: "train with normalization: 'batch' or 'none'",
      })
    }
    const layout = modelLayout(this.#spec)
    const truth = { labels, loss, dropoutSeed: options.seed }
    const task: Task = { run: { mode: 'train', logits: false }, truth, signal: options.signal }
    return this.#enqueue(model, batch, task, (from) => {
      const gradients = new Float32Array(layout.parameterCount)
      const batchStatistics = new Float32Array(layout.statisticCount)
      from.read('gradients', gradients)
      from.read('batchStatistics', batchStatistics)
      const statisticSamples = batch.count * voxelCount(this.grid)
      return { ...this.#score(from), gradients, batchStatistics, statisticSamples }
    })
  }

  dispose(): void {
    this.#planner.dispose()
  }

  /** After the calls before it, whether they succeeded or not. */
  #enqueue<T>(model: ModelState, batch: Batch, task: Task, read: (from: Machine) => T): Promise<T> {
    const result = this.#queue.then(() => this.#execute(model, batch, task, read))
    this.#queue = result.catch(() => undefined)
    return result
  }

  async #execute<T>(model: ModelState, batch: Batch, task: Task, read: (from: Machine) => T): Promise<T> {
    task.signal?.throwIfAborted()
    // Here and not when it was called: while it waited its arrays may have been handed to another thread, which empties them.
    checkInputs(this.#spec, this.grid, model, batch)
    const { truth } = task
    if (truth) checkTruth(this.#spec, this.grid, batch.count, truth.labels, truth.loss)
    const floatImages = isFloat32Array(batch.images)
    const machine = this.#planner.prepare({ ...task.run, volumes: batch.count, floatImages })
    machine.write('parameters', model.parameters)
    machine.write('statistics', model.statistics)
    machine.write('images', batch.images, batch.key)
    if (truth) {
      machine.write('truth', truth.labels, batch.key)
      machine.write('loss', Float64Array.from([...truth.loss.classWeights, truth.loss.labelSmoothing]))
      if (truth.dropoutSeed !== undefined) {
        machine.write('dropout', dropoutFactors(this.#spec, batch.count, truth.dropoutSeed))
      }
    }
    const outcome = await machine.run(task.signal)
    if (outcome === OUTCOME.badLabel && truth) throw badLabel(this.#spec.classes, truth.labels)
    return read(machine)
  }

  #score(from: Machine): Scored {
    const { classes } = this.#spec
    const score = new Float64Array(1 + classes * classes)
    from.read('score', score)
    return { loss: score[0]!, confusion: { classes, counts: score.slice(1) } }
  }
}
