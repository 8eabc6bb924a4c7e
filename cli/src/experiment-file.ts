import { dirname, resolve } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { z } from 'zod'
import { readYamlFile } from './read-yaml-file.js'
import { checkStudyKeys } from './study-from-options.js'

/** Arms are folders beside the report's files; and of keys that are whole numbers the order would be lost. */
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/

const KeysSchema = z.record(z.string(), z.unknown())

const FileSchema = z.strictObject({
  dataset: z.string().min(1),
  split: z.enum(['valid', 'test']).default('test'),
  seeds: z
    .array(z.int().min(0))
    .min(1)
    .refine((seeds) => new Set(seeds).size === seeds.length, 'a seed is there twice')
    .default([0]),
  study: KeysSchema.default({}),
  arms: z
    .record(
      z.string(),
      z.strictObject({
        how: z.enum(['train', 'simulate']),
        dataset: z.string().min(1).optional(),
        study: KeysSchema.default({}),
      }),
    )
    .refine((arms) => Object.keys(arms).length > 0, 'there is no arm'),
})

export interface PlannedArm {
  name: string
  how: 'train' | 'simulate'
  /** Trained on. */
  dataset: string
  /** Keys of its study: those of all arms, and its own over them. */
  study: Record<string, unknown>
}

export interface ExperimentPlan {
  /** All arms are scored on it. */
  dataset: string
  split: 'valid' | 'test'
  seeds: number[]
  arms: PlannedArm[]
}

/**
 * Reads the file of an experiment. Paths in it are from its own folder.
 * @throws MeshflError `FILE_NOT_FOUND`, `FILE_NOT_READABLE`, `EXPERIMENT_INVALID`, `STUDY_INVALID`
 */
export async function readExperimentFile(path: string): Promise<ExperimentPlan> {
  const value = await readYamlFile(path, 'experiment', (why, cause) => invalid(path, why, cause))
  const parsed = FileSchema.safeParse(value)
  if (!parsed.success) {
    const { issues } = parsed.error
    // A key that is not there is why another one is missing.
    const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]!
    const what = issue.code === 'unrecognized_keys' ? `there is no key ${issue.keys[0]}` : issue.message
    throw invalid(path, `${issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''}${what}`, parsed.error)
  }
  const { dataset, split, seeds, study, arms } = parsed.data
  const from = (name: string): string => resolve(dirname(path), name)
  const planned = Object.entries(arms).map(([name, arm]): PlannedArm => {
    if (!NAME.test(name)) {
      throw invalid(
        path,
        `arms.${name}: the name of an arm is a letter, and then letters, digits, "_" and "-", for it is a folder, too`,
      )
    }
    const keys = mergeKeys(study, arm.study)
    if ('seed' in keys) throw invalid(path, `arms.${name}: a study's seed is one of seeds here`)
    if ('initialSha256' in keys) throw invalid(path, `arms.${name}: every run begins with weights drawn from its seed`)
    checkStudyKeys(keys, `${path}: arms.${name}.study`)
    return { name, how: arm.how, dataset: from(arm.dataset ?? dataset), study: keys }
  })
  const twice = planned.find(({ name }, i) => planned.findIndex((one) => isSameFolder(one.name, name)) !== i)
  if (twice) throw invalid(path, `arms.${twice.name}: some file systems take it for another arm's folder`)
  return { dataset: from(dataset), split, seeds, arms: planned }
}

function isSameFolder(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

/** Sections are merged, whatever else is replaced. */
function mergeKeys(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...base }
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key]
    merged[key] = isSection(below) && isSection(value) ? mergeKeys(below, value) : value
  }
  return merged
}

function isSection(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function invalid(path: string, what: string, cause?: unknown): MeshflError {
  return new MeshflError('EXPERIMENT_INVALID', `${path}: ${what}`, {
    kind: 'usage',
    hint: 'it has the keys dataset, split, seeds, study and arms; an arm has how (train or simulate), dataset and study: see meshfl experiment --help',
    cause,
  })
}
