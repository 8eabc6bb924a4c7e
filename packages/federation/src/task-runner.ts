import type {
  EvaluateOutcome,
  GradientOutcome,
  ModelState,
  SiteTrainer,
  StepProgress,
  Study,
  TrainOutcome,
} from '@meshfl/core'
import type { Told } from './coordinator-state.js'
import type { StepPlace } from './coordinator-steps.js'
import type { TrainMetrics, Work } from './messages.js'
import type { Task } from './site-machine.js'
import { unscored } from './spoiled-model.js'
import { localRule } from './strategies/local-rule.js'

/** What a task is done with. */
export interface TaskInput {
  site: string
  study: Study
  validCases: number
  model: ModelState
  vector: Float32Array | undefined
  /** The optimiser that a round begins with. */
  state: Uint8Array | null
}

interface TaskRunnerOptions {
  tell(event: Told): void
  onProgress(): void
}

/** Has the trainer do one task after the other, and holds what came of the last one. */
export class TaskRunner {
  readonly #options: TaskRunnerOptions
  /** What came of a training, and where it stands with `sync: step`. */
  outcome: (TrainOutcome & { metrics: TrainMetrics }) | undefined
  place: StepPlace | undefined
  evaluation: EvaluateOutcome | undefined
  progress: StepProgress | undefined
  #working: AbortController | undefined
  /** Ends when the trainer has. */
  #busy: Promise<unknown> = Promise.resolve()
  #ended = false

  constructor(options: TaskRunnerOptions) {
    this.#options = options
  }

  /** Does a task. @returns whether it was done; false: it was to stop @throws what the trainer throws unless it was to stop */
  run(task: Task, input: TaskInput, trainer: Promise<SiteTrainer>): Promise<boolean> {
    const done = this.#run(task, input, trainer)
    this.#busy = done.catch(() => undefined)
    return done
  }

  abort(): void {
    this.#working?.abort()
  }

  /** Stops the trainer; resolves when it has stopped. */
  async end(): Promise<void> {
    this.#ended = true
    this.abort()
    await this.#busy
  }

  async #run(task: Task, input: TaskInput, preparing: Promise<SiteTrainer>): Promise<boolean> {
    const working = new AbortController()
    this.#working = working
    this.progress = undefined
    this.place = task.place
    try {
      const trainer = await preparing
      if (task.purpose === 'evaluate') await this.#evaluate(trainer, task, input, working.signal)
      else await this.#train(trainer, task, input, working)
    } catch (error) {
      if (!working.signal.aborted) throw error
    }
    if (this.#working === working) this.#working = undefined
    return !working.signal.aborted
  }

  async #evaluate(trainer: SiteTrainer, { round, place, asIs }: Task, input: TaskInput, signal: AbortSignal) {
    const shown = place?.round ?? round
    this.evaluation = await this.#score(trainer, shown, input, signal)
    if (signal.aborted || asIs) return
    const { cases, loss, dice } = this.evaluation
    this.#options.tell({ type: 'site-evaluated', site: input.site, round: shown, loss, dice, cases })
  }

  async #score(
    trainer: SiteTrainer,
    round: number,
    { site, study, validCases, model }: TaskInput,
    signal: AbortSignal,
  ): Promise<EvaluateOutcome> {
    try {
      return await trainer.evaluate({ round, model, signal })
    } catch (error) {
      const none = unscored(error, { cases: validCases, classNames: study.classNames })
      if (!none || signal.aborted) throw error
      const { why, ...outcome } = none
      this.#options.tell({ type: 'log', level: 'warn', message: `the model has no score here: ${why}`, site })
      return outcome
    }
  }

  async #train(
    trainer: SiteTrainer,
    task: Task,
    { site, study, model, vector, state }: TaskInput,
    stop: AbortController,
  ) {
    const { round, place } = task
    const { signal } = stop
    if (place) {
      if (!trainer.gradient) throw new TypeError('this trainer takes no single steps')
      this.outcome = asUpdate(await trainer.gradient({ ...place, model, signal }))
      return
    }
    const onStep = (progress: StepProgress): void => this.#stepped(site, task, signal, progress)
    const rule = localRule(study.federation, vector, round)
    this.outcome = await trainer.train({ round, rounds: study.rounds, model, state, rule, signal, onStep })
  }

  #stepped(site: string, { round }: Work, signal: AbortSignal, progress: StepProgress): void {
    if (signal.aborted || this.#ended) return
    this.progress = progress
    const { loss } = progress
    if (Number.isFinite(loss)) this.#options.tell({ type: 'step', site, round, ...progress })
    this.#options.onProgress()
  }
}

/** A step's gradient and batch statistics, laid out as a model: what a RESULT carries with `sync: step`. */
function asUpdate({ gradients, batchStatistics, voxels, samples, metrics }: GradientOutcome) {
  const model = { parameters: gradients, statistics: batchStatistics }
  return { model, samples, state: new Uint8Array(), metrics: { ...metrics, voxels } }
}
