import { join, relative } from 'node:path'
import { lockFolder, MeshflError, now } from '@meshfl/core'
import { type Dataset, openDataset } from '@meshfl/dataset'
import type { Engine } from '@meshfl/engine'
import {
  type Baseline,
  buildExperiment,
  countEvaluations,
  type Experiment,
  readBaseline,
  type ScoredRun,
  writeExperiment,
} from '@meshfl/evaluation'
import { type EngineOptions, engineChoice, engineFromOptions } from './engine-options.js'
import { datasetHash, evaluateModel, reportFolder } from './evaluate-model.js'
import {
  beginCell,
  type Cell,
  type CellRecord,
  endCell,
  planCells,
  preparedAgain,
  recordBefore,
  studyOf,
  type TrainedCell,
} from './experiment-cells.js'
import { type ExperimentPlan, readExperimentFile } from './experiment-file.js'
import { finishEvaluation } from './finish-evaluation.js'
import type { Output } from './output.js'
import { VERSION } from './program.js'
import { simulateRun } from './simulate-run.js'
import { trainRun } from './train-run.js'
import { openTrainedModel } from './trained-model.js'
import type { TrainingOptions } from './training-options.js'

export interface ExperimentOptions extends EngineOptions, TrainingOptions {
  /** Folder of all runs and of the report; what is there already is gone on with. */
  out: string
}

/** What all cells are trained and scored with. */
interface Work {
  plan: ExperimentPlan
  /** The dataset of the cases that all are scored on. */
  scored: Dataset
  engine: Engine
  options: ExperimentOptions
  output: Output
  signal: AbortSignal
}

/**
 * Trains every arm with every seed, scores the models on the same cases, and writes the report of all. What was trained or scored
 * before is not trained or scored again.
 * @throws MeshflError `EXPERIMENT_INVALID`, `EXPERIMENT_CHANGED`, `DATASET_STUDY_MISMATCH`, and those of training and scoring
 */
export async function runExperiment(
  file: string,
  options: ExperimentOptions,
  output: Output,
  signal: AbortSignal,
): Promise<{ experiment: Experiment; page: string }> {
  const plan = await readExperimentFile(file)
  const scored = await openDataset(plan.dataset)
  checkScored(file, plan, scored)
  const engine = await engineFromOptions(options)
  const lock = await lockFolder(options.out, {
    onWatch: (message) => output.events({ type: 'log', time: now(), level: 'info', message }),
    signal,
  })
  const stop = AbortSignal.any([signal, lock.lost])
  const work: Work = { plan, scored, engine, options, output, signal: stop }
  try {
    const cells = await planCells(plan, scored, options.out)
    const before: (CellRecord | undefined)[] = []
    for (const cell of cells) before.push(await recordBefore(cell))
    const progress = progressOf(cells, before, output)
    const runs: ScoredRun[] = []
    for (const [i, cell] of cells.entries()) {
      stop.throwIfAborted()
      runs.push(await score(cell, await train(cell, before[i], work, progress(i)), work))
    }
    const { split, seeds } = plan
    const experiment = buildExperiment({
      ...{ tool: `meshfl ${VERSION}`, created: new Date().toISOString(), split, seeds },
      arms: plan.arms.map(({ name, how }) => ({
        ...{ name, how, dataset: cells.find(({ arm }) => arm.name === name)!.datasetName },
        runs: runs.filter((_, i) => cells[i]!.arm.name === name),
      })),
    })
    return { experiment, page: await writeExperiment(options.out, experiment) }
  } finally {
    lock.release()
  }
}

function checkScored(file: string, { dataset, split }: ExperimentPlan, scored: Dataset): void {
  if (split === 'valid' && scored.manifest.folds !== undefined) {
    throw new MeshflError('EXPERIMENT_INVALID', `${file}: split: valid is another one in every fold of ${dataset}`, {
      kind: 'usage',
      hint: 'score on test, or prepare a dataset without --folds',
    })
  }
  if (scored.cases(split).length > 0) return
  throw new MeshflError('EVAL_NO_CASES', `the ${split} split of ${dataset} has no cases`, {
    hint: 'choose another split, or prepare the dataset with other --ratios',
  })
}

/** Told of the rounds of a training, it says how far all of them are; those that were there before are no progress. */
function progressOf(cells: readonly Cell[], before: readonly (CellRecord | undefined)[], output: Output) {
  const total = cells.reduce((sum, { study }) => sum + study.rounds, 0)
  return (at: number) => {
    const done = cells.reduce((sum, { study }, i) => sum + (i < at || before[i]?.ended ? study.rounds : 0), 0)
    return (rounds: number): void =>
      output.events({ type: 'progress', time: now(), task: 'train', done: done + rounds, total, unit: 'rounds' })
  }
}

/** Trains a cell, or goes on with it, unless that has been done. */
async function train(
  cell: Cell,
  before: CellRecord | undefined,
  { engine: { name, device, precision }, options, output, signal }: Work,
  tell: (rounds: number) => void,
): Promise<TrainedCell> {
  if (before?.ended) return { ...before, ended: before.ended }
  const { arm, seed, folder, study } = cell
  output.events({ type: 'log', time: now(), level: 'info', message: `${cell.name}: training` })
  const quiet = cellOutput(cell, output, tell)
  const { allowEngineChange, dataCache } = options
  const engine = `${name} ${device.instructionSet} ${precision}`
  const begun = await beginCell(cell, before, { engine, allowEngineChange: allowEngineChange === true })
  const asked = {
    ...{ out: folder, ...studyOf(arm, seed), ...engineChoice(options) },
    ...(dataCache === undefined ? {} : { dataCache }),
    ...(allowEngineChange === undefined ? {} : { allowEngineChange }),
  }
  const run = arm.how === 'train' ? trainRun : simulateRun
  const { rounds } = await run(arm.dataset, asked, quiet, signal)
  tell(study.rounds)
  const { sha256: modelSha256 } = await openTrainedModel(folder)
  return endCell(cell, begun, { rounds, modelSha256, engine })
}

/** Of a training or a scoring: its warnings and its rounds. Everything else is in its own folder. */
function cellOutput({ name }: Cell, output: Output, tell?: (rounds: number) => void): Output {
  return {
    ...output,
    events(event) {
      if (event.type === 'log' && (event.level === 'warn' || event.level === 'error'))
        output.events({ ...event, message: `${name}: ${event.message}` })
      else if (event.type === 'round-finished') tell?.(event.round)
    },
    result: () => undefined,
    say: () => undefined,
    stop: async () => undefined,
  }
}

/** Scores the model of a cell, unless the report of it on these cases is there: to look at the test split again would count. */
async function score(
  cell: Cell,
  { engines, ended: { rounds } }: TrainedCell,
  { plan: { dataset, split }, scored, engine, options, output, signal }: Work,
): Promise<ScoredRun> {
  const model = await openTrainedModel(cell.folder)
  const file = join(reportFolder(model, split), 'report.json')
  const sha256 = datasetHash(scored)
  const known = await readKnownReport(file)
  const isOfThis = known?.model?.sha256 === model.sha256 && known.dataset.sha256 === sha256
  if (!isOfThis || known.conventions.empty !== 'nan') {
    const quiet = cellOutput(cell, output)
    const evaluation = await evaluateModel({
      ...{ model, dataset, split, engine, signal },
      ...{ empty: 'nan', gates: [], onSession: () => undefined, onCase: () => undefined },
      onNote: (message, level) => quiet.events({ type: 'log', time: now(), level, message }),
    })
    // Before it is written: models would be compared on other cases.
    if (evaluation.input.dataset.sha256 !== sha256) throw preparedAgain(dataset)
    const { summary } = await finishEvaluation(evaluation, undefined, quiet, signal)
    const dice = summary.foregroundDice.mean?.toFixed(4) ?? 'undefined'
    output.events({ type: 'log', time: now(), level: 'info', message: `${cell.name}: foreground Dice ${dice}` })
  }
  const evaluations = await countEvaluations(join(cell.folder, 'evaluations.jsonl'), {
    ...{ modelSha256: model.sha256, dataset: sha256, split },
  })
  return {
    ...{ seed: cell.seed, path: relative(options.out, cell.folder), rounds, engines },
    ...{ evaluations: Math.max(1, evaluations), report: await readBaseline(file), notes: cell.notes },
  }
}

async function readKnownReport(file: string): Promise<Baseline | undefined> {
  return readBaseline(file).catch((error) => {
    if (['FILE_NOT_FOUND', 'EVAL_BASELINE_MALFORMED'].includes(error.code)) return undefined
    throw error
  })
}
