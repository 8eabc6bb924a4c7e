import {
  cacheMemoryBytes,
  canonicalJson,
  createRandom,
  type EvaluateOutcome,
  type EvaluateTask,
  type GradientOutcome,
  type GradientTask,
  MeshflError,
  type MeshNetSpec,
  type ModelLayout,
  type Recipe,
  type SiteTrainer,
  sha256,
  type TrainOutcome,
  type TrainTask,
} from '@meshfl/core'
import type { Case } from '@meshfl/dataset'
import { type Batch, type LossSpec, modelLayout, type Session, type Step } from '@meshfl/engine'
import { diceFromConfusion } from '@meshfl/evaluation'
import { type AdamState, adamStep, createAdamState, decodeAdamState, encodeAdamState } from './adam.js'
import { createBatchFeed } from './batch-feed.js'
import { type CaseLoader, createCaseLoader, type LoadCase } from './case-loader.js'
import { beginRule } from './local-rule.js'
import { meanOverCases, type ScoredCase } from './mean-over-cases.js'
import { oneCycle } from './one-cycle.js'
import { updateRunningStatistics } from './running-statistics.js'

/** Batches that are read and put together beyond the one that is computed. */
const BATCHES_AHEAD = 2

/** Of all trainers of this process, because some may share a session: `Batch.key` names one volume for as long as that lives. */
let keysGiven = 0

export interface LocalTrainerOptions {
  /** Made for `spec` on the grid of the cases. The caller disposes of it. */
  session: Session
  spec: MeshNetSpec
  recipe: Recipe
  /** Of the study: shuffles and dropout follow from it. */
  seed: number
  /** The dataset's name for the site: every random draw depends on it. */
  site: string
  /** One name for each class, background first. */
  classNames: readonly string[]
  trainCases: readonly Case[]
  validCases: readonly Case[]
  loadCase: LoadCase
  /** Most bytes of decoded volumes to keep in memory; default: `cacheMemoryBytes`. */
  cacheBytes?: number
}

/** Enough of each image's hash to know it again among a dataset's. */
export function shortHashes(cases: readonly Case[]): string[] {
  return cases.map(({ imageSha256 }) => imageSha256.slice(0, 16))
}

/**
 * Trains and scores one site's cases. A round is `recipe.localEpochs` passes over them, shuffled; all randomness and the place in
 * the schedule follow from (seed, site, round, local step), so a round gives the same bits whenever and wherever it runs on
 * the same engine, and the optimiser's state is the only memory between rounds.
 */
export class LocalTrainer implements SiteTrainer {
  private readonly layout: ModelLayout
  private readonly loss: LossSpec
  private readonly cases: CaseLoader
  private readonly keys = new Map<string, number>()

  /** @throws MeshflError `RECIPE_CLASS_WEIGHTS`, `CLASS_NAMES_MISMATCH` */
  constructor(private readonly options: LocalTrainerOptions) {
    const { spec, recipe, classNames, loadCase, cacheBytes = cacheMemoryBytes() } = options
    if (recipe.classWeights.length !== spec.classes) {
      throw new MeshflError(
        'RECIPE_CLASS_WEIGHTS',
        `the recipe has ${recipe.classWeights.length} class weights, the model ${spec.classes} classes`,
        { hint: 'give recipe.classWeights one number for each class' },
      )
    }
    if (classNames.length !== spec.classes) {
      throw new MeshflError(
        'CLASS_NAMES_MISMATCH',
        `there are ${classNames.length} class names, the model has ${spec.classes} classes`,
        { hint: 'give classNames one name for each class, or model.classes the number of the label map' },
      )
    }
    this.layout = modelLayout(spec)
    this.loss = { classWeights: recipe.classWeights, labelSmoothing: recipe.labelSmoothing }
    this.cases = createCaseLoader(loadCase, cacheBytes)
  }

  get site(): string {
    return this.options.site
  }

  /** Names the cases and the voxels that they had when the dataset was made. */
  get casesSha256(): string {
    const named = (cases: readonly Case[]) =>
      cases.map(({ id, imageSha256, labelSha256 }) => [id, imageSha256, labelSha256])
    const { trainCases, validCases } = this.options
    return sha256(canonicalJson({ train: named(trainCases), valid: named(validCases) }))
  }

  /** See `shortHashes`. */
  get images(): { train: string[]; valid: string[] } {
    const { trainCases, validCases } = this.options
    return { train: shortHashes(trainCases), valid: shortHashes(validCases) }
  }

  /** Steps of one round. */
  get stepsPerRound(): number {
    const { recipe, trainCases } = this.options
    return recipe.localEpochs * Math.ceil(trainCases.length / recipe.batchSize)
  }

  /**
   * @throws MeshflError `TRAINING_NO_CASES`, `TRAINING_DIVERGED`, `OPTIMIZER_STATE_INVALID`; the signal's reason when aborted
   */
  async train({
    round,
    rounds,
    model,
    state,
    rule = { kind: 'plain' },
    signal,
    onStep,
  }: TrainTask): Promise<TrainOutcome> {
    const { session, recipe, spec, classNames, site, trainCases } = this.options
    if (trainCases.length === 0) {
      throw new MeshflError('TRAINING_NO_CASES', `${site} has no training case`, {
        hint: 'give the site cases of the train split, or leave it out',
      })
    }
    const begun = performance.now()
    const current = { parameters: model.parameters.slice(), statistics: model.statistics.slice() }
    const adam = this.openState(state)
    const counts = new Float64Array(spec.classes ** 2)
    const steps = this.batches(round)
    if (rule.kind === 'meshfl-reference' && rule.gradient) {
      const before = oneCycle((round - 1) * steps.length - 1, rounds * steps.length, recipe)
      adamStep(current.parameters, rule.gradient, adam, { ...recipe, ...before })
    }
    const atWork = beginRule(rule, current.parameters, state)
    let lossSum = 0
    let volumes = 0
    const feed = createBatchFeed(steps, BATCHES_AHEAD, (batch) => this.assemble(batch))
    for (const [index, batch] of steps.entries()) {
      signal.throwIfAborted()
      const stepBegun = performance.now()
      const { images, labels } = await feed.next()
      const dataSeconds = (performance.now() - stepBegun) / 1000
      if (index + 1 === steps.length) this.prefetchAfterTraining(round, rounds)
      const step = await session.forwardBackward(current, images, labels, this.loss, {
        signal,
        seed: this.dropout(round, index),
      })
      const fault = faultOf(step)
      if (fault) throw diverged(round, index + 1, batch, fault)
      atWork.correct(step.gradients, current.parameters)
      const point = oneCycle((round - 1) * steps.length + index, rounds * steps.length, recipe)
      adamStep(current.parameters, step.gradients, adam, { ...recipe, ...point })
      updateRunningStatistics(this.layout, current.statistics, step.batchStatistics, step.statisticSamples)
      for (let i = 0; i < counts.length; i++) counts[i] = counts[i]! + step.confusion.counts[i]!
      lossSum += step.loss * batch.length
      volumes += batch.length
      onStep({
        step: index + 1,
        steps: steps.length,
        loss: step.loss,
        learningRate: point.learningRate,
        seconds: (performance.now() - stepBegun) / 1000,
        dataSeconds,
      })
    }
    const atTheEnd = (fault: string): MeshflError => diverged(round, steps.length, steps.at(-1) ?? [], fault)
    if (!current.parameters.every(Number.isFinite) || !current.statistics.every(Number.isFinite)) {
      throw atTheEnd('a parameter is not finite')
    }
    // Once infinite, the mean square stays so and its parameter stands still; kept, such a state could not be read again.
    if (!adam.mean.every(Number.isFinite) || !adam.square.every(Number.isFinite)) {
      throw atTheEnd('a moment of the optimiser is not finite')
    }
    const { vector, kept } = atWork.finish()
    return {
      model: current,
      samples: trainCases.length,
      state: encodeAdamState(adam, kept),
      ...(vector ? { vector } : {}),
      metrics: {
        loss: lossSum / volumes,
        dice: diceFromConfusion({ classes: spec.classes, counts }, classNames),
        seconds: (performance.now() - begun) / 1000,
      },
    }
  }

  /**
   * One step's gradient: the same batch and the same dropout as that step of `train`.
   * @throws MeshflError `TRAINING_DIVERGED`; the signal's reason when aborted
   */
  async gradient({ round, step, model, signal }: GradientTask): Promise<GradientOutcome> {
    const { session, spec, classNames } = this.options
    const begun = performance.now()
    const batches = this.batches(round)
    const batch = batches[step - 1]
    if (!batch) throw new RangeError(`step ${step} of a round of ${batches.length}`)
    const { images, labels } = await this.assemble(batch)
    for (const item of batches[step] ?? this.options.validCases.slice(0, 1)) this.cases.prefetch(item)
    const seed = this.dropout(round, step - 1)
    const result = await session.forwardBackward(model, images, labels, this.loss, { signal, seed })
    const fault = faultOf(result)
    if (fault) throw diverged(round, step, batch, fault)
    const { counts } = result.confusion
    return {
      gradients: result.gradients,
      batchStatistics: result.batchStatistics,
      voxels: result.statisticSamples,
      samples: batch.length,
      metrics: {
        loss: result.loss,
        dice: diceFromConfusion({ classes: spec.classes, counts }, classNames),
        seconds: (performance.now() - begun) / 1000,
      },
    }
  }

  /**
   * Scores a model on the validation cases, one at a time.
   * @throws MeshflError `TRAINING_DIVERGED` when a loss is not finite; the signal's reason when aborted
   */
  async evaluate({ round, model, signal }: EvaluateTask): Promise<EvaluateOutcome> {
    const { session, validCases, classNames } = this.options
    const scored: ScoredCase[] = []
    const feed = createBatchFeed(validCases, BATCHES_AHEAD, (item) => this.assemble([item]))
    for (const [index, item] of validCases.entries()) {
      signal.throwIfAborted()
      const { images, labels } = await feed.next()
      if (index + 1 === validCases.length)
        for (const first of this.batches(round + 1)[0] ?? []) this.cases.prefetch(first)
      const { loss, confusion } = await session.evaluate(model, images, labels, this.loss, { signal })
      if (!Number.isFinite(loss)) throw diverged(round, null, [item], `the loss is ${loss}`)
      scored.push({ loss, dice: diceFromConfusion(confusion, classNames) })
    }
    return meanOverCases(scored, classNames)
  }

  /** What comes after a round's last step: its validation, or without that the next round. */
  private prefetchAfterTraining(round: number, rounds: number): void {
    const [first] = this.options.validCases
    if (first) this.cases.prefetch(first)
    else if (round < rounds) for (const item of this.batches(round + 1)[0] ?? []) this.cases.prefetch(item)
  }

  private openState(state: Uint8Array | null): AdamState {
    const { parameterCount } = this.layout
    return state === null ? createAdamState(parameterCount) : decodeAdamState(state, parameterCount)
  }

  /** The seed of a step's dropout. @param index of the step, from 0 */
  private dropout(round: number, index: number): number {
    const { seed, site } = this.options
    return createRandom(seed, 'dropout', round, index, site).uint32()
  }

  /** The cases of every step of a round; the last batch of a pass may be smaller. */
  private batches(round: number): Case[][] {
    const { recipe, seed, site, trainCases } = this.options
    const batches: Case[][] = []
    for (let epoch = 0; epoch < recipe.localEpochs; epoch++) {
      const order = createRandom(seed, 'shuffle', round, epoch, site).shuffle(trainCases)
      for (let i = 0; i < order.length; i += recipe.batchSize) batches.push(order.slice(i, i + recipe.batchSize))
    }
    return batches
  }

  private async assemble(items: readonly Case[]): Promise<{ images: Batch; labels: Uint8Array }> {
    const { depth, height, width } = this.options.session.grid
    const voxels = depth * height * width
    const loaded = await Promise.all(items.map((item) => this.cases.load(item)))
    for (const [i, { image, label }] of loaded.entries()) {
      if (image.length !== voxels || label.length !== voxels) {
        throw new MeshflError(
          'CASE_GRID_MISMATCH',
          `${items[i]!.id} has ${image.length} image and ${label.length} label voxels, the model's grid ${voxels}`,
          { hint: 'prepare the dataset again: every case must have its grid', data: { case: items[i]!.id } },
        )
      }
    }
    const [first] = loaded
    if (loaded.length === 1 && first) {
      const key = this.keyOf(items[0]!)
      return { images: { images: first.image, count: 1, key }, labels: first.label }
    }
    const images = new Uint8Array(voxels * loaded.length)
    const labels = new Uint8Array(voxels * loaded.length)
    for (const [i, { image, label }] of loaded.entries()) {
      images.set(image, i * voxels)
      labels.set(label, i * voxels)
    }
    return { images: { images, count: loaded.length }, labels }
  }

  /** A batch of one case is the same in every epoch; larger ones are shuffled. */
  private keyOf({ id }: Case): number {
    const key = this.keys.get(id) ?? ++keysGiven
    this.keys.set(id, key)
    return key
  }
}

/** What is not a finite number in a step; null when everything is. */
function faultOf({ loss, gradients, batchStatistics }: Step): string | null {
  if (!Number.isFinite(loss)) return `the loss is ${loss}`
  if (!gradients.every(Number.isFinite)) return 'a gradient is not finite'
  return batchStatistics.every(Number.isFinite) ? null : 'a BatchNorm statistic is not finite'
}

/** @param step null: in validation */
function diverged(round: number, step: number | null, batch: readonly Case[], fault: string): MeshflError {
  const cases = batch.map(({ id }) => id)
  const where = step === null ? 'in validation' : `step ${step}`
  return new MeshflError(
    'TRAINING_DIVERGED',
    `training diverged in round ${round}, ${where} (${cases.join(', ')}): ${fault}`,
    { hint: 'lower recipe.maxLearningRate, and look at the case named here', data: { round, step, cases } },
  )
}
