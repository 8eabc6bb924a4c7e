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
import { z } from 'zod'
import type { ExperimentPlan, PlannedArm } from './experiment-file.js'
import { checkHasNoFold } from './run-folder.js'
import { checkHasSites } from './simulate-run.js'
import { openTrainingDataset } from './site-trainer.js'
import { studyForRun } from './study-for-run.js'
import type { StudyOptions } from './study-options.js'
import { imagesOf, learnedCasesNotes } from './trained-cases.js'
import { openTrainedModel } from './trained-model.js'

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
export type Ended = z.infer<typeof EndedSchema>

/** One arm with one seed. */
export interface Cell {
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

export const studyOf = ({ study }: PlannedArm, seed: number): StudyOptions => ({ studyKeys: study, seed })

/**
 * What an earlier run of the experiment wrote of this cell, undefined where it is to be trained.
 * @throws MeshflError `EXPERIMENT_CHANGED`
 */
export async function endedBefore(cell: Cell): Promise<Ended | undefined> {
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

/** Writes down that a cell has been trained. */
export function writeEnded(cell: Cell, ended: Ended): Promise<void> {
  return writeFileAtomic(endedFile(cell), `${JSON.stringify(ended)}\n`)
}
