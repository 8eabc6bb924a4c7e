import { bytesOf, MeshflError, type MeshNetSpec, type ModelState } from '@meshfl/core'
import { badLabel, checkInputs, checkTruth, voxelCount } from '../check-inputs.js'
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
  Step,
  StepOptions,
} from '../engine.js'
import { modelLayout } from '../layout.js'
import type { WasmPlanner } from './planner.js'
import { type Offsets, OUTCOME, type Run } from './request.js'
import type { WasmTeam } from './team.js'

interface Truth {
  labels: Uint8Array
  loss: LossSpec
  dropoutSeed?: number
}

/** What a run needs beside the model and the batch. */
interface Task {
  run: Omit<Run, 'volumes' | 'floatImages' | 'keepEvery'>
  truth?: Truth
  signal: AbortSignal | undefined
}

/** Between calls nothing stays in the memory: each lays it out anew, fills in what it reads, and copies out what it gives. */
export class WasmSession implements Session {
  readonly #spec: MeshNetSpec
  readonly #planner: WasmPlanner
  readonly #team: WasmTeam
  #queue: Promise<unknown> = Promise.resolve()

  constructor(
    spec: MeshNetSpec,
    readonly grid: Grid,
    planner: WasmPlanner,
    team: WasmTeam,
  ) {
    this.#spec = spec
    this.#planner = planner
    this.#team = team
  }

  get memory(): MemoryPlan {
    return this.#planner.memoryPlan
  }

  async forward(model: ModelState, batch: Batch, options: ForwardOptions = {}): Promise<Segmentation> {
    checkInputs(this.#spec, this.grid, model, batch)
    const logits = options.logits ?? false
    const voxels = batch.count * voxelCount(this.grid)
    return this.#enqueue(model, batch, { run: { mode: 'forward', logits }, signal: options.signal }, (at) => {
      const labels = this.#planner.bytes(at.labels, voxels).slice()
      return logits
        ? { labels, logits: this.#planner.floats(at.logits, voxels * this.#spec.classes).slice() }
        : { labels }
    })
  }

  async evaluate(
    model: ModelState,
    batch: Batch,
    labels: Uint8Array,
    loss: LossSpec,
    options: { signal?: AbortSignal } = {},
  ): Promise<Scored> {
    checkInputs(this.#spec, this.grid, model, batch)
    checkTruth(this.#spec, this.grid, batch.count, labels, loss)
    const task: Task = { run: { mode: 'evaluate', logits: false }, truth: { labels, loss }, signal: options.signal }
    return this.#enqueue(model, batch, task, (at) => this.#score(at))
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
    checkInputs(this.#spec, this.grid, model, batch)
    checkTruth(this.#spec, this.grid, batch.count, labels, loss)
    const layout = modelLayout(this.#spec)
    const truth = { labels, loss, dropoutSeed: options.seed }
    const task: Task = { run: { mode: 'train', logits: false }, truth, signal: options.signal }
    return this.#enqueue(model, batch, task, (at) => ({
      ...this.#score(at),
      gradients: this.#planner.floats(at.gradients, layout.parameterCount).slice(),
      batchStatistics: this.#planner.floats(at.batchStatistics, layout.statisticCount).slice(),
      statisticSamples: batch.count * voxelCount(this.grid),
    }))
  }

  dispose(): void {
    this.#team.dispose()
    this.#planner.dispose()
  }

  /** After the calls before it, whether they succeeded or not. */
  #enqueue<T>(model: ModelState, batch: Batch, task: Task, read: (at: Offsets) => T): Promise<T> {
    const result = this.#queue.then(() => this.#execute(model, batch, task, read))
    this.#queue = result.catch(() => undefined)
    return result
  }

  async #execute<T>(model: ModelState, batch: Batch, task: Task, read: (at: Offsets) => T): Promise<T> {
    task.signal?.throwIfAborted()
    const planner = this.#planner
    const floatImages = batch.images instanceof Float32Array
    const at = planner.prepare({ ...task.run, volumes: batch.count, floatImages })
    planner.floats(at.parameters, model.parameters.length).set(model.parameters)
    planner.floats(at.statistics, model.statistics.length).set(model.statistics)
    planner.bytes(at.images, batch.images.byteLength).set(bytesOf(batch.images))
    const { truth } = task
    if (truth) {
      planner.bytes(at.truth, truth.labels.length).set(truth.labels)
      const { classWeights, labelSmoothing } = truth.loss
      planner.doubles(at.loss, classWeights.length + 1).set([...classWeights, labelSmoothing])
      if (truth.dropoutSeed !== undefined) {
        const factors = dropoutFactors(this.#spec, batch.count, truth.dropoutSeed)
        planner.floats(at.dropout, factors.length).set(factors)
      }
    }
    const outcome = await this.#team.run(task.signal)
    if (outcome === OUTCOME.badLabel && truth) throw badLabel(this.#spec.classes, truth.labels)
    return read(at)
  }

  #score(at: Offsets): Scored {
    const { classes } = this.#spec
    const [loss] = this.#planner.doubles(at.score, 1)
    return {
      loss: loss!,
      confusion: { classes, counts: this.#planner.doubles(at.score + 8, classes * classes).slice() },
    }
  }
}
