import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { canonicalJson, MeshflError, type Study } from '@meshfl/core'
import type { DatasetManifest } from '@meshfl/dataset'
import type { FederationOptions } from './federation-options.js'
import { type GivenKeys, studyFromOptions } from './study-from-options.js'
import type { StudyOptions } from './study-options.js'

/**
 * The study of a run's folder: what it was started with where it exists, so that going on needs no options; else what the
 * options ask for, with the classes and the conform of the dataset at hand.
 * @param preset what a command chooses where nobody else does
 * @throws MeshflError `STUDY_INVALID`; `DATASET_STUDY_MISMATCH` also where a run would go on with scans prepared in another way
 */
export async function studyForRun(
  folder: string,
  options: StudyOptions & FederationOptions,
  dataset?: DatasetManifest,
  preset: Pick<GivenKeys, 'model' | 'recipe'> = {},
): Promise<Study> {
  const kept = join(folder, 'study.yaml')
  if (options.study !== undefined || !existsSync(kept)) {
    return studyFromOptions(options, { ...(dataset ? datasetKeys(dataset) : {}), ...preset })
  }
  const study = await studyFromOptions({ ...options, study: kept })
  if (dataset) checkPreparation(folder, study, dataset)
  return study
}

/** Else the model would go on with scans that its file says nothing of. */
function checkPreparation(folder: string, study: Study, { conform, labelMap }: DatasetManifest): void {
  const compared: [string, unknown, unknown][] = [
    ['labelMap', study.labelMap, labelMap.name],
    ['voxelSizeMm', study.voxelSizeMm, conform.voxelSizeMm],
    ['conform.mode', study.conform?.mode, conform.mode],
    ['conform.shape', study.conform?.shape, conform.shape],
    ['conform.orientation', study.conform?.orientation, conform.orientation],
  ]
  for (const [key, began, now] of compared) {
    if (began === undefined || canonicalJson(began) === canonicalJson(now)) continue
    throw new MeshflError(
      'DATASET_STUDY_MISMATCH',
      `${folder} cannot go on with this dataset: ${key} is ${JSON.stringify(began)} in the run, ${JSON.stringify(now)} in the dataset`,
      { hint: 'give the dataset that the run began with, or another --out' },
    )
  }
}

/** The keys of a study that follow from a dataset. */
function datasetKeys({ conform, labelMap }: DatasetManifest): GivenKeys {
  const { mode, shape, orientation } = conform
  const classNames = labelMap.classes.map((item) => item.name)
  const standard = classNames.length === 3
  return {
    classNames,
    labelMap: labelMap.name,
    voxelSizeMm: conform.voxelSizeMm,
    // The other modes turn every scan alike.
    conform: { mode, shape, ...(mode === 'none' ? { orientation } : {}) },
    ...(standard ? {} : { model: { classes: classNames.length }, recipe: { classWeights: classNames.map(() => 1) } }),
  }
}
