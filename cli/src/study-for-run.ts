import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { canonicalJson, MeshflError, type MeshNetSpec, type Study } from '@meshfl/core'
import type { DatasetManifest } from '@meshfl/dataset'
import type { FederationOptions } from './federation-options.js'
import { type GivenKeys, readStudyYaml, studyFromOptions } from './study-from-options.js'
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
  const file = join(folder, 'study.yaml')
  const kept = existsSync(file) ? await readStudyYaml(file) : undefined
  // A run that has begun keeps the model that it began with: going on neither needs nor looks at the one of that time.
  const start =
    options.from === undefined || kept?.initialSha256 !== undefined ? undefined : await openStart(options.from)
  const begin = (study: Study): Study => {
    start?.check(study)
    const initialSha256 = start?.sha256 ?? (kept?.initialSha256 as string | undefined) ?? study.initialSha256
    return initialSha256 === undefined ? study : { ...study, initialSha256 }
  }
  if ((options.study ?? options.studyKeys) !== undefined || !kept) {
    const given = { ...start?.keys, ...(dataset ? datasetKeys(dataset, kept) : {}), ...preset }
    const keys = start && !preset.model ? { ...given, model: start.keys.model } : given
    return begin(await studyFromOptions(options, keys))
  }
  const study = await studyFromOptions({ ...options, study: file })
  if (dataset) checkPreparation(folder, study, dataset)
  return begin(study)
}

/** The model of `--from`: its network and classes are the study's where that names none. */
async function openStart(from: string): Promise<{
  keys: GivenKeys & { model: MeshNetSpec }
  sha256: string
  check(study: Study): void
}> {
  const [{ openTrainedModel }, { checkInitialModel, hasNamedClasses }] = await Promise.all([
    import('./trained-model.js'),
    import('./initial-model.js'),
  ])
  const model = await openTrainedModel(from)
  const { spec, data, sha256 } = model
  const keys = {
    ...(hasNamedClasses(data.classNames) ? { classNames: data.classNames } : {}),
    ...(spec.classes === 3 ? {} : { recipe: { classWeights: data.classNames.map(() => 1) } }),
    model: spec,
  }
  return { keys, sha256, check: (study) => checkInitialModel(model, study) }
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

/**
 * The keys of a study that follow from a dataset.
 * @param kept the study of the run that goes on: one of the version before says nothing of orientation
 */
function datasetKeys({ conform, labelMap }: DatasetManifest, kept?: Record<string, unknown>): GivenKeys {
  const { mode, shape, orientation } = conform
  const before = kept?.conform as Study['conform']
  const isUntold = before !== undefined && before.orientation === undefined
  const classNames = labelMap.classes.map((item) => item.name)
  const standard = classNames.length === 3
  return {
    classNames,
    labelMap: labelMap.name,
    voxelSizeMm: conform.voxelSizeMm,
    // The other modes turn every scan alike.
    conform: { mode, shape, ...(mode === 'none' && !isUntold ? { orientation } : {}) },
    ...(standard ? {} : { model: { classes: classNames.length }, recipe: { classWeights: classNames.map(() => 1) } }),
  }
}
