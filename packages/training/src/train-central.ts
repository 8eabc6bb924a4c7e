import { join } from 'node:path'
import {
  type EventSink,
  isStagnant,
  MeshflError,
  type MeshflEvent,
  type ModelLayout,
  type ModelState,
  modelSha256,
  now,
  readEventLog,
  removeTemporaryFiles,
  riseAfter,
  type SiteTrainer,
  type Study,
  studySha256,
} from '@meshfl/core'
import { type Engine, initializeModel, modelLayout } from '@meshfl/engine'
import { type Checkpoint, commitCheckpoint, type Progress, readCheckpoint, writeModels } from './checkpoint.js'

/** What trains: a LocalTrainer. */
export interface CentralTrainer extends Pick<SiteTrainer, 'train' | 'evaluate'> {
  readonly site: string
  /** Names the cases that it trains and scores on. */
  readonly casesSha256: string
  /** See `Progress`. */
  readonly images?: { train: string[]; valid: string[] }
}

export interface CentralOptions {
  study: Study
  /** The run's folder. */
  run: string
  trainer: CentralTrainer
  /** Recorded in the checkpoint: bits are equal only on the same engine, instruction set and precision. */
  engine: Pick<Engine, 'name' | 'precision'> & { device: { instructionSet: string } }
  emit: EventSink
  signal: AbortSignal
  /** Continues on another engine or instruction set, or in another precision; the result is then that of neither alone. */
  allowEngineChange?: boolean
  /** Where a new run starts; absent: drawn from the study's seed. */
  initialModel?: ModelState
  /** What that model has learned from and was chosen by; see `Progress`. */
  imagesBefore?: Progress['images'] | undefined
}

export interface CentralOutcome {
  /** Rounds committed: fewer than asked for when the run ended early. */
  rounds: number
  model: ModelState
  /** Of the parameters and the statistics. */
  parametersSha256: string
  /** By validation foreground Dice, the first of equals; null where no round has one. */
  best: { round: number; foregroundDice: number } | null
}

/**
 * The checkpoint that `trainCentral` would continue from, after the checks that it makes: what a command tells in its first event.
 * @throws MeshflError `RUN_STUDY_MISMATCH`, `RUN_DATASET_CHANGED`, `RUN_ENGINE_CHANGED`, and those of `decodeCheckpoint`
 */
export async function openCheckpoint(
  options: Pick<CentralOptions, 'study' | 'run' | 'trainer' | 'engine' | 'allowEngineChange'>,
): Promise<Checkpoint | null> {
  const { study, run, trainer, engine, allowEngineChange } = options
  const layout = modelLayout(study.model)
  // The study is compared before the tensors: another model is first of all another study.
  const checkpoint = await readCheckpoint(run, layout).catch((error: unknown) => {
    if (error instanceof MeshflError && error.code === 'MODEL_LAYOUT_MISMATCH') throw otherStudy(run, error)
    throw error
  })
  if (!checkpoint) return null
  const { progress } = checkpoint
  if (progress.studySha256 !== studySha256(study)) throw otherStudy(run)
  if (progress.casesSha256 !== undefined && progress.casesSha256 !== trainer.casesSha256) {
    throw new MeshflError('RUN_DATASET_CHANGED', `${run} was trained on other cases than those of this dataset`, {
      hint: 'give the dataset that it was started with, or choose another --out',
      data: { run },
    })
  }
  const had = `${progress.engine} (${progress.instructionSet}, ${progress.precision})`
  const has = `${engine.name} (${engine.device.instructionSet}, ${engine.precision})`
  if (had !== has && !allowEngineChange) {
    throw new MeshflError('RUN_ENGINE_CHANGED', `${run} was trained on ${had}, this is ${has}`, {
      hint: `use the engine that it was started with, or pass --allow-engine-change and lose bit-for-bit reproducibility`,
      data: { had, has },
    })
  }
  return checkpoint
}

/** All images that a model has learned from or was chosen by, also before this run. */
function learnedImages(own: CentralTrainer['images'], before: Progress['images']): Pick<Progress, 'images'> {
  if (!own) return {}
  const all = (part: 'train' | 'valid'): string[] => [...new Set([...own[part], ...(before?.[part] ?? [])])]
  return { images: { train: all('train'), valid: all('valid') } }
}

/**
 * Trains on one machine, round after round, until the study's rounds are done, its target is reached or its early stop ends it. Every round is committed
 * before the next begins; whatever was killed at whatever moment continues from the last one, to the same bits.
 * @throws MeshflError `RUN_STUDY_MISMATCH`, `RUN_DATASET_CHANGED`, `RUN_ENGINE_CHANGED`, `TRAINING_DIVERGED`, `DISK_FULL`, ...; the signal's reason
 */
export async function trainCentral(options: CentralOptions): Promise<CentralOutcome> {
  const { study, run, trainer, emit, signal } = options
  const { rounds } = study
  const { site } = trainer
  const layout = modelLayout(study.model)
  let checkpoint = await openCheckpoint(options)
  await removeTemporaryFiles(run)
  if (checkpoint) await restore(options, layout, checkpoint)
  const resumedAt = checkpoint?.progress.round ?? 0
  const begun = performance.now()

  for (let round = resumedAt + 1; round <= rounds && !isOver(study, checkpoint); round++) {
    signal.throwIfAborted()
    const roundBegun = performance.now()
    let dataSeconds = 0
    const start = checkpoint?.model ?? options.initialModel ?? initializeModel(study.model, study.seed)
    emit({ type: 'round-started', time: now(), round, rounds, sites: [site] })
    const trained = await trainer.train({
      round,
      rounds,
      model: start,
      state: checkpoint?.state ?? null,
      signal,
      onStep: (progress) => {
        dataSeconds += progress.dataSeconds ?? 0
        emit({ type: 'step', time: now(), site, round, ...progress })
      },
    })
    const waited = `round ${round}: the engine waited ${dataSeconds.toFixed(3)} s for volumes in ${trained.metrics.seconds.toFixed(3)} s of training`
    emit({ type: 'log', time: now(), level: 'debug', message: waited, site })
    const { model, state, samples, metrics } = trained
    const parametersSha256 = modelSha256(model)
    emit({ type: 'site-trained', time: now(), site, round, ...metrics, samples, updateSha256: parametersSha256 })
    const valid = await trainer.evaluate({ round, model, signal })
    const validDice = valid.cases > 0 ? valid.dice : null

    const before: Checkpoint | null = checkpoint
    const foregroundDice = validDice?.foregroundDice ?? null
    const better = isBetter(foregroundDice, before?.progress.best.foregroundDice ?? null)
    const progress: Progress = {
      round,
      studySha256: studySha256(study),
      casesSha256: trainer.casesSha256,
      engine: options.engine.name,
      instructionSet: options.engine.device.instructionSet,
      precision: options.engine.precision,
      best: better || !before ? { round, foregroundDice } : before.progress.best,
      rise: riseAfter(before?.progress.rise ?? null, round, foregroundDice, study.earlyStop?.minDelta ?? 0),
      metrics: {
        trainLoss: metrics.loss,
        trainDice: metrics.dice,
        validLoss: valid.loss,
        validDice,
        seconds: (performance.now() - roundBegun) / 1000,
      },
      evaluated: { loss: valid.loss, dice: valid.dice, cases: valid.cases },
      ...learnedImages(trainer.images, before ? before.progress.images : options.imagesBefore),
    }
    checkpoint = { progress, model, state, bestModel: better || !before ? model : before.bestModel }
    await commitCheckpoint(run, study, layout, checkpoint)

    const secondsEach = (performance.now() - begun) / 1000 / (round - resumedAt)
    const left = isOver(study, checkpoint) ? 0 : secondsEach * (rounds - round)
    for (const event of eventsOf(study, site, checkpoint, left)) emit(event)
  }
  if (!checkpoint) throw new RangeError('a study has at least one round')
  const { progress, model } = checkpoint
  const { round, foregroundDice } = progress.best
  return {
    rounds: progress.round,
    model,
    parametersSha256: modelSha256(model),
    best: foregroundDice === null ? null : { round, foregroundDice },
  }
}

/** Brings the files and the log of a run up to its checkpoint: a crash may have come between. */
async function restore(options: CentralOptions, layout: ModelLayout, checkpoint: Checkpoint): Promise<void> {
  await writeModels(options.run, options.study, layout, checkpoint)
  const { round } = checkpoint.progress
  const told = readEventLog(join(options.run, 'events.jsonl')).filter(
    (event) => 'round' in event && event.round === round,
  )
  const isTold = (type: MeshflEvent['type']): boolean => told.some((event) => event.type === type)
  if (isTold('round-finished')) return
  for (const event of eventsOf(options.study, options.trainer.site, checkpoint, null)) {
    if (!isTold(event.type)) options.emit(event)
  }
}

/** What is told of a checkpoint's round once that is committed, in this order. */
function eventsOf(study: Study, site: string, checkpoint: Checkpoint, secondsLeft: number | null): MeshflEvent[] {
  const { progress, model } = checkpoint
  const { round, metrics, evaluated, best } = progress
  const parametersSha256 = modelSha256(model)
  const time = now()
  return [
    { type: 'update-applied', time, round, parametersSha256, sites: [site], leftOut: [] },
    ...(evaluated ? [{ type: 'site-evaluated' as const, time, site, round, ...evaluated }] : []),
    ...(best.round === round && best.foregroundDice !== null
      ? [{ type: 'best' as const, time, round, foregroundDice: best.foregroundDice }]
      : []),
    { type: 'round-finished', time, round, rounds: study.rounds, ...metrics, parametersSha256, secondsLeft },
  ]
}

/** Without a score the last round is the best. */
function isBetter(score: number | null, best: number | null): boolean {
  return best === null || (score !== null && score > best)
}

/** Whether the run ends before its last round: the target is reached, or patience is at its end. */
function isOver({ targetDice, earlyStop }: Study, checkpoint: Checkpoint | null): boolean {
  if (!checkpoint) return false
  const { metrics, rise, round } = checkpoint.progress
  const reached = metrics.validDice?.foregroundDice ?? null
  if (targetDice !== undefined && reached !== null && reached >= targetDice) return true
  return earlyStop !== undefined && isStagnant(rise, round, earlyStop)
}

function otherStudy(run: string, cause?: unknown): MeshflError {
  return new MeshflError('RUN_STUDY_MISMATCH', `${run} was started with another study`, {
    hint: 'continue it with its own study.yaml, or choose another --out',
    data: { run },
    cause,
  })
}
