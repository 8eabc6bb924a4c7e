import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { canonicalJson, MeshflError, type MeshNetSpec, type Study } from '@meshfl/core'
import type { DatasetManifest } from '@meshfl/dataset'
import type { FederationOptions } from './federation-options.js'
import { type GivenKeys, studyFromOptions } from './study-from-options.js'
import type { StudyOptions } from './study-options.js'

/**
 * The study of a run's folder: what it was started with where it exists, so that going on needs no options; else what the
 * options ask for, with the classes and the conform of the dataset at hand.
 * @param preset what a command chooses where nobody else does
 * @throws MeshflError `STUDY_INVALID`, `INITIAL_MODEL_MISMATCH`; `DATASET_STUDY_MISMATCH` also where a run would go on with scans prepared in another way
 */
export async function studyForRun(
  folder: string,
  options: StudyOptions & FederationOptions,
  dataset?: DatasetManifest,
  preset: Pick<GivenKeys, 'model' | 'recipe'> = {},
): Promise<Study> {
  const kept = join(folder, 'study.yaml')
  const start = options.from === undefined ? undefined : await openStart(options.from)
  const begin = (study: Study): Study => {
    if (!start) return study
    start.check(study)
    return { ...study, initialSha256: start.sha256 }
  }
  if (options.study !== undefined || !existsSync(kept)) {
    const given = { ...(dataset ? datasetKeys(dataset) : {}), ...preset }
    return begin(
      await studyFromOptions(options, start ? { ...given, model: { ...start.spec, ...given.model } } : given),
    )
  }
  const study = await studyFromOptions({ ...options, study: kept })
  if (dataset) checkPreparation(folder, study, dataset)
  return begin(study)
}

/** The model of `--from`: its network is the study's where that names none. */
async function openStart(from: string): Promise<{ spec: MeshNetSpec; sha256: string; check(study: Study): void }> {
  const [{ openTrainedModel }, { checkInitialModel }] = await Promise.all([
    import('./trained-model.js'),
    import('./initial-model.js'),
  ])
  const model = await openTrainedModel(from)
  return { spec: model.spec, sha256: model.sha256, check: (study) => checkInitialModel(model, study) }
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
