import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Study } from '@meshfl/core'
import type { DatasetManifest } from '@meshfl/dataset'
import type { FederationOptions } from './federation-options.js'
import { type GivenKeys, studyFromOptions } from './study-from-options.js'
import type { StudyOptions } from './study-options.js'

/**
 * The study of a run's folder: what it was started with where it exists, so that going on needs no options; else what the
 * options ask for, with the classes and the conform of the dataset at hand.
 * @param preset what a command chooses where nobody else does
 */
export async function studyForRun(
  folder: string,
  options: StudyOptions & FederationOptions,
  dataset?: DatasetManifest,
  preset: Pick<GivenKeys, 'model' | 'recipe'> = {},
): Promise<Study> {
  const kept = join(folder, 'study.yaml')
  if (options.study === undefined && existsSync(kept)) return studyFromOptions({ ...options, study: kept })
  return studyFromOptions(options, { ...(dataset ? datasetKeys(dataset) : {}), ...preset })
}

/** The keys of a study that follow from a dataset. */
function datasetKeys({ conform, labelMap }: DatasetManifest): GivenKeys {
  const classNames = labelMap.classes.map((item) => item.name)
  const standard = classNames.length === 3
  return {
    classNames,
    labelMap: labelMap.name,
    voxelSizeMm: conform.voxelSizeMm,
    conform: { mode: conform.mode, shape: conform.shape },
    ...(standard ? {} : { model: { classes: classNames.length }, recipe: { classWeights: classNames.map(() => 1) } }),
  }
}
