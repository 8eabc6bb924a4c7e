import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import {
  canonicalJson,
  explainReadError,
  lockFolder,
  MeshflError,
  now,
  type Study,
  sha256,
  studySha256,
  writeFileAtomic,
} from '@meshfl/core'
import { type Dataset, openDataset, readHere } from '@meshfl/dataset'
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
import { z } from 'zod'
import { type EngineOptions, engineChoice, engineFromOptions } from './engine-options.js'
import { datasetHash, evaluateModel, reportFolder } from './evaluate-model.js'
import { type ExperimentPlan, type PlannedArm, readExperimentFile } from './experiment-file.js'
import { finishEvaluation } from './finish-evaluation.js'
import type { Output } from './output.js'
import { VERSION } from './program.js'
import { checkHasNoFold } from './run-folder.js'
import { checkHasSites, simulateRun } from './simulate-run.js'
import { openTrainingDataset } from './site-trainer.js'
import { studyForRun } from './study-for-run.js'
import type { StudyOptions } from './study-options.js'
import { trainRun } from './train-run.js'
import { imagesOf, learnedCasesNotes } from './trained-cases.js'
import { openTrainedModel } from './trained-model.js'
import type { TrainingOptions } from './training-options.js'

export interface ExperimentOptions extends EngineOptions, TrainingOptions {
  /** Folder of all runs and of the report; what is there already is gone on with. */
  out: string
}

/** A training that has ended, beside its run's folder: what it was of, so that no other passes for it. */
const EndedSchema = z.strictObject({
  how: z.enum(['train', 'simulate']),
  studySha256: z.string(),
  datasetSha256: z.string(),
  /** Of the model that is scored. */
  modelSha256: z.string(),
  rounds: z.int(),
  engine: z.string(),
})
type Ended = z.infer<typeof EndedSchema>

/** One arm with one seed. */
interface Cell {
  name: string
  arm: PlannedArm
  seed: number
  /** Of its run. */
  folder: string
  study: Study
  /** Of all cases that it is trained on, and of the sites that have them. */
  datasetSha256: string
  /** The name of that dataset. */
  datasetName: string
  notes: string[]
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
  try {
    const cells = await planCells(plan, scored, options.out)
    const ended: (Ended | undefined)[] = []
    for (const cell of cells) ended.push(await endedBefore(cell))
    const progress = progressOf(cells, ended, output)
    const runs: ScoredRun[] = []
    for (const [i, cell] of cells.entries()) {
      stop.throwIfAborted()
      const done = ended[i] ?? (await train(cell, engine, options, output, progress(i), stop))
      runs.push(await score(cell, done, plan, scored, engine, options.out, output, stop))
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

/**
 * Every arm with every seed, seed after seed, so that an experiment that was stopped has all arms of the first ones. What cannot be
 * trained is told before anything is.
 */
async function planCells(
  { dataset, split, arms, seeds }: ExperimentPlan,
  scored: Dataset,
  out: string,
): Promise<Cell[]> {
  const cells: Cell[] = []
  for (const arm of arms) {
    const { fold } = arm.study as { fold?: number }
    if (arm.how === 'simulate') checkHasNoFold({ fold })
    const trained = await openTrainingDataset(arm.dataset, readHere, fold)
    const { manifest } = await openDataset(arm.dataset)
    if (arm.how === 'simulate') checkHasSites(arm.dataset, manifest)
    if (canonicalJson(trained.classNames) !== canonicalJson(scored.classNames)) {
      throw new MeshflError(
        'DATASET_STUDY_MISMATCH',
        `the classes of ${arm.dataset} are ${trained.classNames.join(', ')}; those of ${dataset}, on which it is to be scored, ${scored.classNames.join(', ')}`,
        { hint: 'prepare both with one --label-map' },
      )
    }
    const datasetSha256 = sha256(canonicalJson(manifest.cases))
    // What one machine has learned from its run remembers, and its report says.
    const notes = arm.how === 'train' ? [] : learnedCasesNotes(scored.cases(split), imagesOf(manifest), split)
    for (const seed of seeds) {
      const folder = join(out, arm.name, `seed-${seed}`)
      cells.push({
        ...{ name: `${arm.name}, seed ${seed}`, arm, seed, folder, datasetSha256, datasetName: manifest.name, notes },
        study: await studyForRun(folder, studyOf(arm, seed), manifest),
      })
    }
  }
  return seeds.flatMap((seed) => cells.filter((cell) => cell.seed === seed))
}

const studyOf = ({ study }: PlannedArm, seed: number): StudyOptions => ({ studyKeys: study, seed })

/** @throws MeshflError `EXPERIMENT_CHANGED` */
async function endedBefore(cell: Cell): Promise<Ended | undefined> {
  const ended = await readEnded(endedFile(cell))
  if (ended === undefined) return undefined
  const model = await openTrainedModel(cell.folder).catch((error) => {
    // A run that was taken away is trained anew.
    if (['FILE_NOT_FOUND', 'RUN_HAS_NO_MODEL'].includes(error.code)) return undefined
    throw error
  })
  if (model === undefined) return undefined
  const changed =
    (ended.how !== cell.arm.how && `as ${ended.how}, and the experiment has it as ${cell.arm.how}`) ||
    (ended.studySha256 !== studySha256(cell.study) && 'with another study than the experiment asks for') ||
    (ended.datasetSha256 !== cell.datasetSha256 && 'on another dataset than the experiment asks for') ||
    (ended.modelSha256 !== model.sha256 && 'by the experiment, and another model lies there now')
  if (!changed) return ended
  throw new MeshflError('EXPERIMENT_CHANGED', `${cell.folder} was trained ${changed}`, {
    kind: 'usage',
    hint: 'choose another --out, name the arm otherwise, or take that folder away',
  })
}

/** Undefined also of a file that is damaged: to train once more changes nothing. */
async function readEnded(file: string): Promise<Ended | undefined> {
  if (!existsSync(file)) return undefined
  const text = await readFile(file, 'utf8').catch((error) => {
    throw explainReadError(error, file)
  })
  try {
    return EndedSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

const endedFile = ({ folder }: Cell): string => `${folder}.json`

/** Told of the rounds of a training, it says how far all of them are; those that were there before are no progress. */
function progressOf(cells: readonly Cell[], ended: readonly (Ended | undefined)[], output: Output) {
  const total = cells.reduce((sum, { study }) => sum + study.rounds, 0)
  return (at: number) => {
    const done = cells.reduce((sum, { study }, i) => sum + (i < at || ended[i] !== undefined ? study.rounds : 0), 0)
    return (rounds: number): void =>
      output.events({ type: 'progress', time: now(), task: 'train', done: done + rounds, total, unit: 'rounds' })
  }
}

async function train(
  cell: Cell,
  engine: Engine,
  options: ExperimentOptions,
  output: Output,
  tell: (rounds: number) => void,
  signal: AbortSignal,
): Promise<Ended> {
  const { arm, seed, folder, study, datasetSha256 } = cell
  output.events({ type: 'log', time: now(), level: 'info', message: `${cell.name}: training` })
  const quiet = cellOutput(cell, output, tell)
  const { allowEngineChange, dataCache } = options
  const asked = {
    ...{ out: folder, ...studyOf(arm, seed), ...engineChoice(options) },
    ...(dataCache === undefined ? {} : { dataCache }),
    ...(allowEngineChange === undefined ? {} : { allowEngineChange }),
  }
  const run = arm.how === 'train' ? trainRun : simulateRun
  const { rounds } = await run(arm.dataset, asked, quiet, signal)
  tell(study.rounds)
  const ended: Ended = {
    ...{ how: arm.how, studySha256: studySha256(study), datasetSha256, rounds },
    modelSha256: (await openTrainedModel(folder)).sha256,
    engine: `${engine.name} ${engine.device.instructionSet} ${engine.precision}`,
  }
  await writeFileAtomic(endedFile(cell), `${JSON.stringify(ended)}\n`)
  return ended
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
  { rounds, engine: trainedBy }: Ended,
  { dataset, split }: ExperimentPlan,
  scored: Dataset,
  engine: Engine,
  out: string,
  output: Output,
  signal: AbortSignal,
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
    const { summary } = await finishEvaluation(evaluation, undefined, quiet, signal)
    const dice = summary.foregroundDice.mean?.toFixed(4) ?? 'undefined'
    output.events({ type: 'log', time: now(), level: 'info', message: `${cell.name}: foreground Dice ${dice}` })
  }
  const evaluations = await countEvaluations(join(cell.folder, 'evaluations.jsonl'), {
    ...{ modelSha256: model.sha256, dataset: sha256, split },
  })
  return {
    ...{ seed: cell.seed, path: relative(out, cell.folder), rounds, engine: trainedBy },
    ...{ evaluations: Math.max(1, evaluations), report: await readBaseline(file), notes: cell.notes },
  }
}

async function readKnownReport(file: string): Promise<Baseline | undefined> {
  return readBaseline(file).catch((error) => {
    if (['FILE_NOT_FOUND', 'EVAL_BASELINE_MALFORMED'].includes(error.code)) return undefined
    throw error
  })
}
