import { MeshflError, type MeshNetSpec, type Recipe, type Study, StudySchema } from '@meshfl/core'
import { type FederationOptions, federationKeys } from './federation-options.js'
import { readYamlFile } from './read-yaml-file.js'
import { hintForUnknownKey } from './study-keys.js'
import type { StudyOptions } from './study-options.js'

/** The keys of a study that follow from a dataset. */
export interface GivenKeys {
  classNames?: string[]
  labelMap?: string
  voxelSizeMm?: number
  conform?: unknown
  model?: Partial<MeshNetSpec>
  recipe?: Partial<Recipe>
}

/**
 * The study that a file and options ask for.
 * @param given what follows from the dataset: the file's own keys stand beside it, and may not contradict it
 * @throws MeshflError `STUDY_INVALID`, `DATASET_STUDY_MISMATCH`
 */
export async function studyFromOptions(
  options: StudyOptions & FederationOptions,
  given: GivenKeys = {},
): Promise<Study> {
  const base = options.studyKeys ?? (options.study ? await readStudyYaml(options.study) : {})
  // By itself, too: what the dataset says below takes the place of some keys, which would hide their mistakes.
  if (options.study) checkStudyKeys(base, options.study)
  for (const key of ['labelMap', 'voxelSizeMm'] as const) {
    if (base[key] === undefined || given[key] === undefined || base[key] === given[key]) continue
    throw new MeshflError(
      'DATASET_STUDY_MISMATCH',
      `${key} is ${base[key]} in ${options.study}, the dataset has ${given[key]}`,
      { hint: 'prepare the dataset as the study says, or take that key out of the study' },
    )
  }
  const recipe = {
    ...given.recipe,
    ...((base.recipe as object | undefined) ?? {}),
    ...(options.lr === undefined ? {} : { maxLearningRate: options.lr }),
    ...(options.batchSize === undefined ? {} : { batchSize: options.batchSize }),
    ...(options.localEpochs === undefined ? {} : { localEpochs: options.localEpochs }),
  }
  const federation = { ...(base.federation as object | undefined), ...federationKeys(options) }
  const earlyStop = {
    ...(base.earlyStop as object | undefined),
    ...(options.patience === undefined ? {} : { patience: options.patience }),
    ...(options.minDelta === undefined ? {} : { minDelta: options.minDelta }),
  }
  if (options.minDelta !== undefined && !('patience' in earlyStop)) {
    throw new MeshflError('STUDY_INVALID', '--min-delta says nothing without --patience', {
      kind: 'usage',
      hint: 'say with --patience after how many rounds without a rise the run ends',
    })
  }
  return parseStudy(
    {
      ...given,
      ...base,
      ...(given.conform ? { conform: given.conform } : {}),
      ...(given.model || base.model ? { model: { ...given.model, ...(base.model as object | undefined) } } : {}),
      recipe,
      ...(Object.keys(federation).length > 0 ? { federation } : {}),
      ...(Object.keys(earlyStop).length > 0 ? { earlyStop } : {}),
      ...(options.rounds === undefined ? {} : { rounds: options.rounds }),
      ...(options.seed === undefined ? {} : { seed: options.seed }),
      ...(options.fold === undefined ? {} : { fold: options.fold }),
      ...(options.targetDice === undefined ? {} : { targetDice: options.targetDice }),
    },
    options.study ?? 'the options',
  )
}

/** Reads a study.yaml. @throws MeshflError `FILE_NOT_FOUND`, `FILE_NOT_READABLE`, `STUDY_INVALID` */
export async function readStudyYaml(path: string): Promise<Record<string, unknown>> {
  const refuse = (why: string, cause?: unknown): MeshflError =>
    new MeshflError('STUDY_INVALID', `${path} is no study: ${why}`, {
      kind: 'usage',
      hint: 'compare it with the study.yaml of another run',
      cause,
    })
  const value = await readYamlFile(path, 'study', refuse)
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw refuse('it holds no keys')
  return value as Record<string, unknown>
}

/** Checks a study against its schema, and its lists against its classes. @throws MeshflError `STUDY_INVALID` naming the key */
export function parseStudy(value: unknown, source: string): Study {
  const study = checkStudyKeys(value, source)
  const classes = study.model.classes
  if (study.classNames.length !== classes || study.recipe.classWeights.length !== classes) {
    throw new MeshflError(
      'STUDY_INVALID',
      `${source}: ${classes} classes, ${study.classNames.length} names, ${study.recipe.classWeights.length} weights`,
      {
        kind: 'usage',
        hint: 'give classNames and recipe.classWeights one entry a class',
      },
    )
  }
  return study
}

/** Checks keys of a study without those of its dataset. @throws MeshflError `STUDY_INVALID` naming the key */
export function checkStudyKeys(value: unknown, source: string): Study {
  const parsed = StudySchema.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    const section = issue.path.join('.')
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
    const what = unknown === undefined ? issue.message : `there is no key ${unknown}`
    throw new MeshflError('STUDY_INVALID', `${source}: ${section ? `${section}: ` : ''}${what}`, {
      kind: 'usage',
      hint: unknown === undefined ? 'correct that value' : hintForUnknownKey(section, unknown),
    })
  }
  return parsed.data
}
