import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { FolderLock } from '@meshfl/core'
import { Command } from 'commander'
import type { EngineOptions } from '../engine-options.js'
import { wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'
import type { RunFolder } from '../run-folder.js'
import { type StudyOptions, withStudyOptions } from '../study-options.js'
import { type Telemetry, type TelemetryOptions, withTelemetryOptions } from '../telemetry-options.js'
import { type TrainingOptions, withTrainingOptions } from '../training-options.js'

interface TrainOptions extends OutputOptions, StudyOptions, EngineOptions, TrainingOptions, TelemetryOptions {
  out: string
}

export function trainCommand(): Command {
  return withOutputOptions(
    withTelemetryOptions(
      withTrainingOptions(
        withStudyOptions(
          new Command('train')
            .description('Train on one machine: the centralised baseline. Run it again with the same --out to go on')
            .argument('<dataset>', 'a dataset made by meshfl split')
            .requiredOption('--out <run>', 'folder of the run')
            .option(
              '--fold <n>',
              'of a dataset with --folds: the fold, from 0, that is its validation',
              wholeNumber(0),
            ),
        ),
      ),
    ).addHelpText('after', '\nExample:\n  meshfl train ./dataset --out ./run --rounds 50'),
  ).action(async (path: string, options: TrainOptions) => {
    await runCommand(options, { title: 'meshfl train', live: true }, async ({ output, signal }) => {
      const [
        { lockFolder, MeshflError, now },
        { openDataset },
        { CHECKPOINT_FILE, openCheckpoint, trainCentral },
        { engineFromOptions },
        { openRunFolder },
        { studyForRun },
        { createDatasetTrainer, openTrainingDataset },
        { describeResult },
        { openTelemetry },
        { initialModelOf },
        { learnedImages, trainedCasesNotes },
        { openTrainedModel },
      ] = await Promise.all([
        import('@meshfl/core'),
        import('@meshfl/dataset'),
        import('@meshfl/training'),
        import('../engine-options.js'),
        import('../run-folder.js'),
        import('../study-for-run.js'),
        import('../site-trainer.js'),
        import('../describe-result.js'),
        import('../telemetry-options.js'),
        import('../initial-model.js'),
        import('../trained-cases.js'),
        import('../trained-model.js'),
      ])
      const study = await studyForRun(options.out, options, (await openDataset(path)).manifest)
      const dataset = await openTrainingDataset(path, undefined, study.fold)
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
        const say = (level: 'info' | 'warn', message: string): void =>
          events({ type: 'log', time: now(), level, message })
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
        const result = await trainCentral({ ...resumable, emit: events, signal: stop })
        output.result(...describeResult(result, options.out))
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
    })
  })
}
