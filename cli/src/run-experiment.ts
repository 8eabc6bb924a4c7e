import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import {
  canonicalJson,
  lockFolder,
  MeshflError,
  now,
  type Study,
  sha256,
  studySha256,
  writeFileAtomic,
} from '@meshfl/core'
import { openDataset } from '@meshfl/dataset'
import type { Engine } from '@meshfl/engine'
import { buildExperiment, countEvaluations, type Experiment, readBaseline, writeExperiment } from '@meshfl/evaluation'
import { stringify } from 'yaml'
import { z } from 'zod'
import { type EngineOptions, engineChoice, engineFromOptions } from './engine-options.js'
import { datasetHash, evaluateModel, reportFolder } from './evaluate-model.js'
import { type ExperimentPlan, type PlannedArm, readExperimentFile } from './experiment-file.js'
import { faultsOf, finishEvaluation } from './finish-evaluation.js'
import type { Output } from './output.js'
import { VERSION } from './program.js'
import { checkHasSites, simulateRun } from './simulate-run.js'
import { studyForRun } from './study-for-run.js'
import { trainRun } from './train-run.js'
import { openTrainedModel, type TrainedModel } from './trained-model.js'
import type { TrainingOptions } from './training-options.js'

export interface ExperimentOptions extends EngineOptions, TrainingOptions {
  /** Folder of all runs and of the report; what is there already is gone on with. */
  out: string
}

/** A training that has ended, beside its run's folder: what it was of, so that no other passes for it. */
const EndedSchema = z.strictObject({ studySha256: z.string(), datasetSha256: z.string(), rounds: z.int() })
type Ended = z.infer<typeof EndedSchema>

/** One arm with one seed. */
interface Cell {
  name: string
  arm: PlannedArm
  seed: number
  /** Of its run. */
  folder: string
  study: Study
  /** The same, for the commands to read: without the seed and what follows from the dataset. */
  studyFile: string
  /** Of all cases that it is trained on, and of the sites that have them. */
  datasetSha256: string
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
  if (plan.split === 'valid' && scored.manifest.folds !== undefined) {
    throw new MeshflError(
      'EXPERIMENT_INVALID',
      `${file}: split: valid is another one in every fold of ${plan.dataset}`,
      {
        kind: 'usage',
        hint: 'score on test, or prepare a dataset without --folds',
      },
    )
  }
  if (scored.cases(plan.split).length === 0) {
    throw new MeshflError('EVAL_NO_CASES', `the ${plan.split} split of ${plan.dataset} has no cases`, {
      hint: 'choose another split, or prepare the dataset with other --ratios',
    })
  }
  const lock = await lockFolder(options.out, {
    onWatch: (message) => output.events({ type: 'log', time: now(), level: 'info', message }),
    signal,
  })
  const stop = AbortSignal.any([signal, lock.lost])
  try {
    const cells = await planCells(plan, scored.classNames, options.out)
    const ended = await trainAll(cells, options, output, stop)
    const engine = await engineFromOptions(options)
    for (const [i, cell] of cells.entries()) {
      await score(cell, plan, engine, output, stop)
      output.events({ type: 'progress', time: now(), task: 'score', done: i + 1, total: cells.length, unit: 'models' })
    }
    const arms = await Promise.all(
      plan.arms.map(async ({ name, how, dataset }) => ({
        ...{ name, how, dataset: (await openDataset(dataset)).manifest.name },
        runs: await Promise.all(
          cells.flatMap((cell, i) =>
            cell.arm.name === name ? [scoredRun(cell, plan, options.out, ended[i]!.rounds)] : [],
          ),
        ),
      })),
    )
    const { split, seeds } = plan
    const created = new Date().toISOString()
    const experiment = buildExperiment({ tool: `meshfl ${VERSION}`, created, split, seeds, arms })
    return { experiment, page: await writeExperiment(options.out, experiment) }
  } finally {
    lock.release()
  }
}

/** Every arm with every seed, seed after seed: what is there when an experiment is stopped can be compared. */
async function planCells(
  { dataset, arms, seeds }: ExperimentPlan,
  classNames: readonly string[],
  out: string,
): Promise<Cell[]> {
  const cells: Cell[] = []
  for (const seed of seeds) {
    for (const arm of arms) {
      const trained = await openDataset(arm.dataset)
      const { manifest } = trained
      if (arm.how === 'simulate') checkHasSites(arm.dataset, manifest)
      if (canonicalJson(trained.classNames) !== canonicalJson(classNames)) {
        throw new MeshflError(
          'DATASET_STUDY_MISMATCH',
          `the classes of ${arm.dataset} are ${trained.classNames.join(', ')}; those of ${dataset}, on which it is to be scored, ${classNames.join(', ')}`,
          { hint: 'prepare both with one --label-map' },
        )
      }
      const folder = join(out, arm.name, `seed-${seed}`)
      const studyFile = join(out, arm.name, 'study.yaml')
      await writeFileAtomic(studyFile, stringify(arm.study))
      cells.push({
        ...{ name: `${arm.name}, seed ${seed}`, arm, seed, folder, studyFile },
        study: await studyForRun(folder, { study: studyFile, seed }, manifest),
        datasetSha256: sha256(canonicalJson(manifest.cases)),
      })
    }
  }
  return cells
}

async function trainAll(
  cells: readonly Cell[],
  options: ExperimentOptions,
  output: Output,
  signal: AbortSignal,
): Promise<Ended[]> {
  const ended = await Promise.all(cells.map(endedBefore))
  const total = cells.reduce((sum, { study }) => sum + study.rounds, 0)
  const before = (end: number): number =>
    cells.reduce((sum, { study }, i) => sum + (i < end || ended[i] !== undefined ? study.rounds : 0), 0)
  const all: Ended[] = []
  for (const [i, cell] of cells.entries()) {
    const done = before(i)
    const tell = (rounds: number): void =>
      output.events({ type: 'progress', time: now(), task: 'train', done: done + rounds, total, unit: 'rounds' })
    all.push(ended[i] ?? (await train(cell, options, output, tell, signal)))
  }
  return all
}

/** @throws MeshflError `EXPERIMENT_CHANGED` */
async function endedBefore(cell: Cell): Promise<Ended | undefined> {
  const file = endedFile(cell)
  if (!existsSync(file)) return undefined
  const ended = await readFile(file, 'utf8')
    .then((text): Ended => EndedSchema.parse(JSON.parse(text)))
    .catch(() => undefined)
  const { studySha256: study, datasetSha256 } = ended ?? {}
  if (study === studySha256(cell.study) && datasetSha256 === cell.datasetSha256) return ended
  const what = study === studySha256(cell.study) ? 'another dataset' : 'another study'
  throw new MeshflError('EXPERIMENT_CHANGED', `${cell.folder} was trained with ${what} than the experiment asks for`, {
    kind: 'usage',
    hint: 'choose another --out, or name the arm otherwise',
  })
}

function endedFile({ folder }: Cell): string {
  return `${folder}.json`
}

async function train(
  cell: Cell,
  options: ExperimentOptions,
  output: Output,
  tell: (rounds: number) => void,
  signal: AbortSignal,
): Promise<Ended> {
  const { arm, seed, folder, study } = cell
  output.events({ type: 'log', time: now(), level: 'info', message: `${cell.name}: training` })
  const quiet = cellOutput(cell, output, tell)
  const { allowEngineChange, dataCache } = options
  const asked = {
    ...{ out: folder, study: cell.studyFile, seed, ...engineChoice(options) },
    ...(dataCache === undefined ? {} : { dataCache }),
    ...(allowEngineChange === undefined ? {} : { allowEngineChange }),
  }
  const { rounds } =
    arm.how === 'train'
      ? await trainRun(arm.dataset, asked, quiet, signal)
      : await simulateRun(arm.dataset, asked, 'simulate', quiet, signal)
  tell(study.rounds)
  const ended = { studySha256: studySha256(study), datasetSha256: cell.datasetSha256, rounds }
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
  { dataset, split }: ExperimentPlan,
  engine: Engine,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const model = await openTrainedModel(cell.folder)
  const sha256 = datasetHash(await openDataset(dataset))
  const known = await readBaseline(reportFile(model, split)).catch(() => undefined)
  if (known?.model?.sha256 === model.sha256 && known.dataset.sha256 === sha256) return
  const quiet = cellOutput(cell, output)
  const evaluation = await evaluateModel({
    ...{ model, dataset, split, engine, signal },
    ...{ empty: 'nan', gates: [], onSession: () => undefined, onCase: () => undefined },
    onNote: (message, level) => quiet.events({ type: 'log', time: now(), level, message }),
  })
  const report = await finishEvaluation(evaluation, undefined, quiet, signal)
  if (faultsOf(evaluation, report).length > 0) process.exitCode = 3
}

async function scoredRun(cell: Cell, { dataset, split }: ExperimentPlan, out: string, rounds: number) {
  const model = await openTrainedModel(cell.folder)
  const evaluation = { modelSha256: model.sha256, dataset: datasetHash(await openDataset(dataset)), split }
  return {
    ...{ seed: cell.seed, path: relative(out, cell.folder), rounds },
    evaluations: Math.max(1, await countEvaluations(join(cell.folder, 'evaluations.jsonl'), evaluation)),
    report: await readBaseline(reportFile(model, split)),
  }
}

function reportFile(model: TrainedModel, split: ExperimentPlan['split']): string {
  return join(reportFolder(model, split), 'report.json')
}
