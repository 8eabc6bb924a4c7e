import { existsSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import type { SurfaceConvention, SurfaceKind } from '@meshfl/evaluation'
import { Command, Option } from 'commander'
import { type EngineOptions, withEngineOptions } from '../engine-options.js'
import type { Evaluation } from '../evaluation.js'
import { numberBetween, positiveNumber, wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface EvalOptions extends OutputOptions, EngineOptions {
  data?: string
  split: 'train' | 'valid' | 'test'
  fold?: number
  pred?: string
  truth?: string
  out?: string
  minDice?: number
  min?: string[]
  max?: string[]
  baseline?: string
  maxDrop?: number
  empty: 'nan' | 'one' | 'zero'
  surface?: SurfaceKind
  surfaceTolerance?: number
  classes?: string
  volume?: number
  nanToZero?: boolean
}

/** A voxel of most anatomical scans. */
const DEFAULT_TOLERANCE_MM = 1

export function evalCommand(): Command {
  return withOutputOptions(
    withEngineOptions(
      new Command('eval')
        .description(
          'Score a model on a split of a dataset, or a folder of predictions against a folder of labels; write a report; gate',
        )
        .argument('[model]', 'a run folder (its best model) or a model file')
        .option(
          '--data <dataset>',
          'the dataset to score on; without it the report is of the run alone: curves, sites, traffic',
        )
        .addOption(new Option('--split <name>', 'which cases').choices(['train', 'valid', 'test']).default('test'))
        .option(
          '--fold <n>',
          'of a dataset with --folds, with --split train or valid: the fold, from 0 (default: that of the run)',
          wholeNumber(0),
        )
        .option('--pred <dir>', 'predicted label maps, instead of a model')
        .option('--truth <dir>', 'true label maps of the same names')
        .option(
          '--classes <names>',
          'with --pred: names of the classes from 0, with commas',
          'background,white matter,grey matter',
        )
        .option('--volume <n>', 'with --pred: which volume of 4D files, from 0', wholeNumber(0))
        .option('--nan-to-zero', 'with --pred: read NaN and infinite voxels as 0, and note it')
        .option(
          '--out <dir>',
          'folder for the report (default: <run>/report-<split>, without --data <run>/report, with --pred ./report; there a report of other scores is kept)',
        ),
    )
      .option('--min-dice <x>', 'gate: exit with 4 when the foreground Dice is below', numberBetween(0, 1))
      .option(
        '--min <class:metric=value>',
        'gate: a minimum of a metric of a class: dice, jaccard, sensitivity, precision, specificity, volumetricSimilarity, with --surface nsd; may be repeated',
        collect,
      )
      .option(
        '--max <class:metric=value>',
        'gate: a maximum, mm, of hd95, assd or hd of a class, with --surface; may be repeated',
        collect,
      )
      .option(
        '--baseline <report>',
        'compare case by case with an earlier evaluation: its report.json or the folder of it, or a run',
      )
      .option(
        '--max-drop <x>',
        'gate on --baseline: exit with 4 when the foreground Dice or that of a class is lower by more, with 3 when a case of it is not here',
        numberBetween(0, 1),
      )
      .addOption(
        new Option('--empty <how>', 'what 0/0 counts as when a class is in neither volume')
          .choices(['nan', 'one', 'zero'])
          .default('nan'),
      )
      .addOption(
        new Option(
          '--surface [how]',
          "measure HD, HD95, ASSD and NSD, too: by the area between voxels (surfel, as DeepMind's surface-distance) or by voxels at the edge (voxel, as MONAI); alone it means surfel. Behind the model, or before another option",
        )
          .choices(['surfel', 'voxel'])
          .preset('surfel'),
      )
      .option(
        '--surface-tolerance <mm>',
        'with --surface: how far surfaces may lie apart for NSD (default: 1)',
        positiveNumber,
      )
      .addHelpText(
        'after',
        '\nExamples:\n  meshfl eval ./run --data ./dataset --split test --min-dice 0.8\n  meshfl eval ./run --data ./dataset --baseline ./released/report-test --max-drop 0.01\n  meshfl eval --pred ./labels --truth ./manual --surface --max "grey matter:hd95=3"',
      ),
  ).action(async (model: string | undefined, options: EvalOptions) => {
    await runCommand(options, { title: 'meshfl eval', startsOver: true }, async ({ output, signal }) => {
      const [core, { baselineFile, foregroundGate, parseGate, readBaseline }] = await Promise.all([
        import('@meshfl/core'),
        import('@meshfl/evaluation'),
      ])
      const { checkWritable, faultOfClassNames, MeshflError, now } = core
      const usage = (message: string, hint: string) => new MeshflError('USAGE_OPTION', message, { kind: 'usage', hint })
      const gates = [
        ...(options.minDice === undefined ? [] : [foregroundGate(options.minDice)]),
        ...(options.min ?? []).map((text) => parseGate(text)),
        ...(options.max ?? []).map((text) => parseGate(text, 'max')),
      ]
      const { maxDrop } = options
      if (options.surface === undefined && options.surfaceTolerance !== undefined)
        throw usage('--surface-tolerance is of --surface', 'give --surface, too, or leave it out')
      const surface: SurfaceConvention | undefined = options.surface && {
        kind: options.surface,
        toleranceMm: options.surfaceTolerance ?? DEFAULT_TOLERANCE_MM,
      }
      // As `--baseline "$UNSET"` of a script is, which must not find some report in the working directory.
      if (options.baseline === '') throw usage('--baseline is empty', 'name a report.json, the folder of it, or a run')
      const earlier = options.baseline === undefined ? undefined : await baselineFile(options.baseline, options.split)
      if (maxDrop !== undefined && earlier === undefined)
        throw usage('--max-drop needs something to have dropped from', 'give --baseline, an earlier report')
      /** A gate that failed would pass when it is asked again, for its baseline would be what failed. */
      const checkOut = (folder: string): void => {
        checkWritable(folder)
        if (earlier === undefined || maxDrop === undefined) return
        const file = join(folder, 'report.json')
        if (existsSync(file) && realpathSync(earlier) === realpathSync(file))
          throw usage(`the new report would replace the baseline, ${earlier}`, 'give --out another folder')
      }
      const hasGates = gates.length > 0 || maxDrop !== undefined
      const common = {
        empty: options.empty,
        surface,
        gates,
        maxDrop,
        // Before the new report is written, which may be in the same folder.
        baseline: earlier === undefined ? undefined : await readBaseline(earlier),
        signal,
        onCase: (done: number, total: number) =>
          output.events({ type: 'progress', time: now(), task: 'eval', done, total, unit: 'cases' }),
        onNote: (message: string, level: 'warn' | 'error') =>
          output.events({ type: 'log', time: now(), level, message }),
      }
      // One of them would be passed over, and the figures would be of something else.
      if ((model !== undefined || options.data !== undefined) && (options.pred ?? options.truth) !== undefined)
        throw usage('a model and its --data are scored, or --pred against --truth, not both', 'leave out one of them')
      if (options.pred === undefined && (options.volume !== undefined || options.nanToZero))
        throw usage('--volume and --nan-to-zero are of --pred', 'a dataset was read when meshfl split made it')
      if (options.fold !== undefined && (options.data === undefined || options.split === 'test'))
        throw usage('--fold is of --data with --split train or valid', 'test is the same in every fold')
      let evaluation: Evaluation
      if (options.pred !== undefined && options.truth !== undefined) {
        const { evaluateFolders, FOLDER } = await import('../evaluate-folders.js')
        const classNames = (options.classes ?? '').split(',').map((name) => name.trim())
        const fault = faultOfClassNames(classNames)
        if (fault !== undefined) throw usage(`--classes: ${fault}`, 'name every class once, from 0, with commas')
        if (isSameFolder(options.pred, options.truth))
          throw usage(
            `--pred and --truth are one folder, ${options.truth}: it would be scored against itself`,
            'name the folder of the predictions, and that of the true labels',
          )
        checkOut(options.out ?? FOLDER)
        evaluation = await evaluateFolders({
          ...common,
          pred: options.pred,
          truth: options.truth,
          classNames,
          volume: options.volume,
          nanToZero: options.nanToZero === true,
        })
      } else if (model !== undefined && options.data !== undefined) {
        const [{ openTrainedModel }, { engineFromOptions }, { evaluateModel, reportFolder }] = await Promise.all([
          import('../trained-model.js'),
          import('../engine-options.js'),
          import('../evaluate-model.js'),
        ])
        const trained = await openTrainedModel(model)
        checkOut(options.out ?? reportFolder(trained, options.split))
        evaluation = await evaluateModel({
          ...common,
          model: trained,
          dataset: options.data,
          split: options.split,
          fold: options.fold,
          engine: await engineFromOptions(options),
          onSession: output.events,
        })
      } else if (model !== undefined) {
        if (hasGates || earlier !== undefined || surface !== undefined)
          throw usage(
            'gates, a baseline and surfaces need cases',
            'give --data, or leave out --min-dice, --min, --max, --baseline, --max-drop and --surface',
          )
        const [{ openTrainedModel }, { reportRun }] = await Promise.all([
          import('../trained-model.js'),
          import('../report-run.js'),
        ])
        const trained = await openTrainedModel(model)
        if (trained.run === undefined)
          throw usage(`${model} is a model file, and there is nothing to score it on`, 'give --data, or name a run')
        evaluation = reportRun(trained.run, trained)
      } else {
        throw usage(
          'eval needs a run or a model with --data, or --pred and --truth',
          'meshfl eval ./run --data ./dataset',
        )
      }
      const { faultsOf, finishEvaluation } = await import('../finish-evaluation.js')
      const report = await finishEvaluation(evaluation, options.out, output, signal)
      if (report.gate === 'failed') process.exitCode = 4
      else if (faultsOf(evaluation, report).length > 0) process.exitCode = 3
    })
  })
}

function collect(text: string, all: string[] = []): string[] {
  return [...all, text]
}

/** Also by links. What is not there is told where it is read. */
function isSameFolder(a: string, b: string): boolean {
  return existsSync(a) && existsSync(b) && realpathSync(a) === realpathSync(b)
}
