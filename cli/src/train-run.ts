import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type FolderLock, lockFolder, MeshflError, now } from '@meshfl/core'
import { createVolumeReader, openDataset, type VolumeReader } from '@meshfl/dataset'
import { CHECKPOINT_FILE, openCheckpoint, trainCentral } from '@meshfl/training'
import type { RunResult } from './describe-result.js'
import { type EngineOptions, engineFromOptions } from './engine-options.js'
import { initialModelOf } from './initial-model.js'
import type { Output } from './output.js'
import { openRunFolder, type RunFolder } from './run-folder.js'
import { createDatasetTrainer, openTrainingDataset } from './site-trainer.js'
import { studyForRun } from './study-for-run.js'
import type { StudyOptions } from './study-options.js'
import { openTelemetry, type Telemetry, type TelemetryOptions } from './telemetry-options.js'
import { learnedImages, trainedCasesNotes } from './trained-cases.js'
import { openTrainedModel } from './trained-model.js'
import type { TrainingOptions } from './training-options.js'

export interface TrainRunOptions extends StudyOptions, EngineOptions, TrainingOptions, TelemetryOptions {
  /** Folder of the run; what is there already is gone on with. */
  out: string
}

/**
 * Trains on one machine in a run's folder, from its last commit on.
 * @throws MeshflError those of the dataset, the study, the engine, the folder and training
 */
export async function trainRun(
  path: string,
  options: TrainRunOptions,
  output: Output,
  signal: AbortSignal,
): Promise<RunResult> {
  const reader = createVolumeReader()
  try {
    return await trainWith(reader, path, options, output, signal)
  } finally {
    await reader.close()
  }
}

async function trainWith(
  reader: VolumeReader,
  path: string,
  options: TrainRunOptions,
  output: Output,
  signal: AbortSignal,
): Promise<RunResult> {
  const study = await studyForRun(options.out, options, (await openDataset(path)).manifest)
  const dataset = await openTrainingDataset(path, reader, study.fold)
  const engine = await engineFromOptions(options)
  const { trainer, session, memory } = await createDatasetTrainer(dataset, study, engine, options)
  let lock: FolderLock | undefined
  let run: RunFolder | undefined
  let hasBegun = false
  let telemetry: Telemetry | undefined
  try {
    lock = await lockFolder(options.out, {
      onWatch: (message) => output.events({ type: 'log', time: now(), level: 'info', message }),
      signal,
    })
    run = await openRunFolder(options.out, study, 'train', options.from)
    const { log } = run
    const events: typeof output.events = (event) => {
      output.events(event)
      log.write(event)
      telemetry?.events(event)
    }
    const say = (level: 'info' | 'warn', message: string): void => events({ type: 'log', time: now(), level, message })
    telemetry = await openTelemetry(options, options.out, study, (message) => say('warn', message))
    if (telemetry.listening) say('info', telemetry.listening)
    const initial = options.from === undefined ? undefined : await openTrainedModel(options.from)
    for (const note of initial ? await trainedCasesNotes(initial, dataset.cases('valid'), 'valid') : [])
      say('warn', `of ${options.from}, with which this run begins, and of its own validation: ${note}`)
    const resumable = {
      study,
      run: options.out,
      trainer,
      engine,
      initialModel: await initialModelOf(options.out, study),
      imagesBefore: initial && (await learnedImages(initial)),
      allowEngineChange: options.allowEngineChange === true,
    }
    const resumedAtRound = (await openCheckpoint(resumable))?.progress.round
    events({
      type: 'run-started',
      time: now(),
      command: 'train',
      run: run.studySha256.slice(0, 12),
      rounds: study.rounds,
      sites: 1,
      engine: engine.name,
      device: `${engine.device.name} (${engine.device.instructionSet}, ${engine.precision})`,
      ...(resumedAtRound === undefined ? {} : { resumedAtRound }),
      path: options.out,
    })
    events(memory)
    hasBegun = true
    const stop = AbortSignal.any([signal, lock.lost])
    return await trainCentral({ ...resumable, emit: events, signal: stop })
  } catch (error) {
    // A start that failed before its first commit does not bind the next one to its options. One that was interrupted does: going
    // on needs no options.
    const hasFailed = error instanceof MeshflError && error.kind !== 'interrupted'
    const isCommitted = hasBegun && existsSync(join(options.out, CHECKPOINT_FILE))
    // Where another process has taken the folder over, what is in there is that one's.
    const isOurs = lock?.lost.aborted === false
    if (hasFailed && isOurs && !isCommitted) await run?.forget()
    throw error
  } finally {
    session.dispose()
    try {
      await telemetry?.close()
      run?.log.close()
    } finally {
      lock?.release()
    }
  }
}
