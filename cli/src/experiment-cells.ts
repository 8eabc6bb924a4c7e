import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  canonicalJson,
  explainReadError,
  MeshflError,
  type Study,
  sha256,
  studySha256,
  writeFileAtomic,
} from '@meshfl/core'
import { type Dataset, openDataset, readHere } from '@meshfl/dataset'
import { CHECKPOINT_FILE } from '@meshfl/training'
import { z } from 'zod'
import type { ExperimentPlan, PlannedArm } from './experiment-file.js'
import { checkHasNoFold } from './run-folder.js'
import { checkHasSites } from './simulate-run.js'
import { openTrainingDataset } from './site-trainer.js'
import { studyForRun } from './study-for-run.js'
import type { StudyOptions } from './study-options.js'
import { imagesOf, learnedCasesNotes } from './trained-cases.js'
import { openTrainedModel, type TrainedModel } from './trained-model.js'

/** Beside a run's folder, from before it is trained: what it is of, so that no other passes for it. */
const CellRecordSchema = z.strictObject({
  how: z.enum(['train', 'simulate']),
  studySha256: z.string(),
  datasetSha256: z.string(),
  /** What trained it, in this order: names, instruction sets and precisions. */
  engines: z.array(z.string()).min(1),
  /** Of a training that has ended: its rounds, and the model that is scored. */
  ended: z.strictObject({ rounds: z.int(), modelSha256: z.string() }).optional(),
})
export type CellRecord = z.infer<typeof CellRecordSchema>
export type TrainedCell = CellRecord & { ended: NonNullable<CellRecord['ended']> }

/** One arm with one seed. */
export interface Cell {
  name: string
  arm: PlannedArm
  seed: number
  /** Of its run. */
  folder: string
  study: Study
  /** See `casesSha256`. */
  datasetSha256: string
  /** The name of that dataset. */
  datasetName: string
  notes: string[]
}

/**
 * Every arm with every seed, seed after seed, so that an experiment that was stopped has all arms of the first ones. What cannot be
 * trained is told before anything is.
 */
export async function planCells(
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
    const datasetSha256 = casesSha256(trained)
    // The report of a run has the same from its checkpoint, as long as that is there.
    const notes = learnedCasesNotes(scored.cases(split), imagesOf(trained.manifest), split)
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

export const studyOf = ({ study }: PlannedArm, seed: number): StudyOptions => ({ studyKeys: study, seed })

/**
 * Names what an arm is trained on: every case with its split, in a fold that of the fold, its site and its voxels. Not where those came
 * from: the same scans prepared from another folder train the same model.
 */
function casesSha256({ manifest }: Pick<Dataset, 'manifest'>): string {
  return sha256(
    canonicalJson(
      manifest.cases.map(({ id, split, site, imageSha256, labelSha256 }) => ({
        id,
        split,
        site,
        imageSha256,
        labelSha256,
      })),
    ),
  )
}

/**
 * What an earlier run of the experiment wrote of this cell, undefined where it begins anew; without `ended` it is to be gone on with.
 * @throws MeshflError `EXPERIMENT_CHANGED`
 */
export async function recordBefore(cell: Cell): Promise<CellRecord | undefined> {
  const hasBegun = existsSync(join(cell.folder, 'study.yaml'))
  const record = await readRecord(recordFile(cell))
  if (record === undefined) {
    // What one machine was trained on its checkpoint knows; a federation that goes on takes any dataset of its sites.
    if (hasBegun && cell.arm.how === 'simulate')
      throw changed(`${cell.folder} holds a federation, and nothing says what it was trained on`)
    return undefined
  }
  const model = record.ended && (await modelOf(cell))
  // A run that was taken away is trained anew.
  if (!model && !hasBegun) return undefined
  const what =
    (record.how !== cell.arm.how && `as ${record.how}, and the experiment has it as ${cell.arm.how}`) ||
    (record.studySha256 !== studySha256(cell.study) && 'with another study than the experiment asks for') ||
    (record.datasetSha256 !== cell.datasetSha256 && 'on another dataset than the experiment asks for') ||
    (model && record.ended?.modelSha256 !== model.sha256 && 'by the experiment, and another model lies there now')
  if (what) throw changed(`${cell.folder} was trained ${what}`)
  const { ended, ...begun } = record
  return model && ended ? { ...begun, ended } : begun
}

async function modelOf({ folder }: Cell): Promise<TrainedModel | undefined> {
  return openTrainedModel(folder).catch((error) => {
    if (['FILE_NOT_FOUND', 'RUN_HAS_NO_MODEL'].includes(error.code)) return undefined
    throw error
  })
}

function changed(message: string): MeshflError {
  return new MeshflError('EXPERIMENT_CHANGED', message, {
    kind: 'usage',
    hint: 'choose another --out, name the arm otherwise, or take that folder away',
  })
}

/** Of a dataset that is not what it was when the experiment began. */
export function preparedAgain(dataset: string): MeshflError {
  return new MeshflError('EXPERIMENT_CHANGED', `${dataset} was prepared again while the experiment ran`, {
    kind: 'usage',
    hint: 'run the experiment again: what was trained on the dataset as it is now, and scored on it, is kept',
  })
}

/**
 * Writes down what a cell is trained of, before it is: one that is interrupted must not go on as another.
 * @param before what `recordBefore` found
 * @param engine that will train it
 * @param allowEngineChange whether it may go on with another engine; else training refuses that
 * @throws MeshflError `EXPERIMENT_CHANGED` where the dataset was prepared again since the cells were planned
 */
export async function beginCell(
  cell: Cell,
  before: CellRecord | undefined,
  { engine, allowEngineChange }: { engine: string; allowEngineChange: boolean },
): Promise<CellRecord> {
  const { arm, folder, study, datasetSha256 } = cell
  const now = casesSha256(await openTrainingDataset(arm.dataset, readHere, study.fold))
  if (now !== datasetSha256) throw preparedAgain(arm.dataset)
  // One machine has trained nothing before its first checkpoint; of a federation that does not show here.
  const hasTrained = arm.how === 'simulate' || existsSync(join(folder, CHECKPOINT_FILE))
  const engines = (hasTrained && before?.engines) || []
  const record: CellRecord = {
    ...{ how: arm.how, studySha256: studySha256(study), datasetSha256 },
    engines: engines.length === 0 || allowEngineChange ? followedBy(engines, engine) : engines,
  }
  await writeRecord(cell, record)
  return record
}

/** Writes down that a cell has been trained. */
export async function endCell(
  cell: Cell,
  begun: CellRecord,
  { engine, ...ended }: TrainedCell['ended'] & { engine: string },
): Promise<TrainedCell> {
  const trained = { ...begun, engines: followedBy(begun.engines, engine), ended }
  await writeRecord(cell, trained)
  return trained
}

function followedBy(engines: readonly string[], engine: string): string[] {
  return engines.at(-1) === engine ? [...engines] : [...engines, engine]
}

/** Undefined also of a file that is damaged. */
async function readRecord(file: string): Promise<CellRecord | undefined> {
  if (!existsSync(file)) return undefined
  const text = await readFile(file, 'utf8').catch((error) => {
    throw explainReadError(error, file)
  })
  try {
    return CellRecordSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

const recordFile = ({ folder }: Cell): string => `${folder}.json`

function writeRecord(cell: Cell, record: CellRecord): Promise<void> {
  return writeFileAtomic(recordFile(cell), `${JSON.stringify(record)}\n`)
}
