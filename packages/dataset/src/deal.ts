import { MeshflError, someOf } from '@meshfl/core'
import type { FoundCases } from './find-cases.js'
import type { Finding, Split } from './manifest.js'
import { partitionSubjects, siteNames } from './partition.js'
import { columnOf, type Partition, partitionName } from './partition-name.js'
import type { PrepareOptions } from './prepare-options.js'
import { sitesByValue } from './sites-by-value.js'
import { dealFolds, splitSubjects } from './split.js'
import { subjectValues } from './subject-values.js'

/** Where every subject of a source goes, also those whose cases turn out to be in error. */
export interface Deal {
  /** With folds, `train` for all but test. */
  splits: ReadonlyMap<string, Split>
  /** The fold of every subject that is not in test; empty without folds. */
  foldBySubject: ReadonlyMap<string, number>
  /** Names of the sites; none for one dataset. */
  sites: readonly string[]
  /** The site of every training and validation subject. */
  siteOf: ReadonlyMap<string, string>
  /** How sites were dealt to, where there are any: see `partitionName`. */
  partition: string
  /** What someone should know of the columns that it goes by. */
  findings: readonly Finding[]
}

type Found = Pick<FoundCases, 'cases' | 'findings' | 'participants'>

/**
 * Deals all subjects of a source to splits and sites. It is told before the work whether that can be trained on.
 * @throws MeshflError `RATIOS_INVALID`, `SITES_INVALID`, `COLUMN_UNKNOWN`, `COLUMN_AMBIGUOUS`, `COLUMN_VALUE_MISSING`, `DATASET_TOO_FEW_SUBJECTS`
 */
export function dealSubjects(found: Found, options: PrepareOptions, partition: Partition): Deal {
  const { ratios, seed, sites, stratify, folds } = options
  const subjects = subjectsOf(found)
  const valuesOf = (column: string | undefined): Map<string, string> | undefined =>
    column === undefined ? undefined : subjectValues(column, subjects, found.cases, found.participants)
  const strata = valuesOf(stratify)
  const parts = splitSubjects(subjects, ratios, seed, strata)
  const foldBySubject = folds === undefined ? new Map<string, number>() : dealFolds(parts, folds, seed, strata)
  const splits = new Map(
    [...parts].map(([subject, split]): [string, Split] => [subject, foldBySubject.has(subject) ? 'train' : split]),
  )
  const valueBySubject = valuesOf(columnOf(partition)) ?? new Map<string, string>()
  const names = partition.how === 'by' ? namesOf(partition.column, valueBySubject, found, sites) : siteNames(sites ?? 0)
  const siteOf =
    names.length === 0 ? new Map<string, string>() : partitionSubjects(splits, names, partition, seed, valueBySubject)
  const findings = [
    ...(stratify === undefined || strata === undefined ? [] : strataFindings(stratify, strata)),
    ...(partition.how === 'dirichlet' && partition.column !== stratify
      ? withoutValue(partition.column, valueBySubject)
      : []),
  ]
  const deal = { splits, foldBySubject, sites: names, siteOf, partition: partitionName(partition), findings }
  if (folds !== undefined) checkFoldsFilled(deal, folds)
  checkTrainingSubjects(deal, partition, stratify)
  checkSitesTrain(deal, new Map(found.cases.map(({ subject }) => [subject, splits.get(subject)!])))
  return deal
}

/** All subjects of a source: those with cases, and those that a finding leaves out. */
function subjectsOf({ cases, findings }: Found): Set<string> {
  const unread = findings.flatMap(({ level, subject }) => (level === 'error' && subject !== undefined ? [subject] : []))
  return new Set([...cases.map(({ subject }) => subject), ...unread])
}

/** Subjects without a value are a stratum of their own, and a column of which most values have one subject splits nothing alike. */
function strataFindings(column: string, values: ReadonlyMap<string, string>): Finding[] {
  const counts = new Map<string, number>()
  for (const value of values.values()) counts.set(value, (counts.get(value) ?? 0) + 1)
  const single = [...counts.values()].filter((count) => count === 1).length
  const message = `${single} of ${counts.size} values of ${column} have one subject each: those values cannot be in several parts of the split`
  return [
    ...withoutValue(column, values),
    ...(2 * single > counts.size ? [{ level: 'warning', code: 'STRATA_SMALL', message } as const] : []),
  ]
}

function withoutValue(column: string, values: ReadonlyMap<string, string>): Finding[] {
  const without = [...values].flatMap(([subject, value]) => (value === '' ? [subject] : []))
  if (without.length === 0) return []
  const message = `${someOf(without)} ${without.length === 1 ? 'has' : 'have'} no value of ${column}, which counts as a value of its own`
  return [{ level: 'warning', code: 'COLUMN_VALUE_MISSING', message }]
}

/**
 * The sites of a column's values.
 * @throws MeshflError `COLUMN_VALUE_MISSING` for a subject with a case and no value; `SITES_INVALID` where another number was asked for
 */
function namesOf(
  column: string,
  valueBySubject: ReadonlyMap<string, string>,
  { cases }: Found,
  sites: number | undefined,
): string[] {
  const without = [...new Set(cases.map(({ subject }) => subject))].filter(
    (subject) => valueBySubject.get(subject) === '',
  )
  if (without.length > 0) {
    throw new MeshflError(
      'COLUMN_VALUE_MISSING',
      `${someOf(without)} ${without.length === 1 ? 'has' : 'have'} no value of ${column}, which names the site`,
      { hint: 'fill the column in, or take these subjects out of the source', data: { column, subjects: without } },
    )
  }
  const names = [...sitesByValue([...valueBySubject.values()].filter((value) => value !== '')).values()]
  if (sites === undefined || sites === names.length) return names
  throw new MeshflError('SITES_INVALID', `${column} has ${names.length} values, which are not ${sites} sites`, {
    kind: 'usage',
    hint: `leave --sites out: each value of ${column} is a site`,
    data: { column, names, sites },
  })
}

/**
 * Of what the options say alone.
 * @throws MeshflError `FOLDS_INVALID`
 */
export function checkFolds({ folds, sites }: PrepareOptions, partition: Partition): void {
  if (folds === undefined) return
  if (sites !== undefined || partition.how !== 'iid') {
    throw new MeshflError('FOLDS_INVALID', 'a dataset is dealt to folds or to sites, not to both', {
      kind: 'usage',
      hint: 'leave out --folds, or --sites and --partition',
    })
  }
  if (Number.isInteger(folds) && folds >= 2) return
  throw new MeshflError('FOLDS_INVALID', `${folds} is no number of folds`, {
    kind: 'usage',
    hint: 'give a whole number from 2 on, such as --folds 5',
  })
}

/** @throws MeshflError `DATASET_TOO_FEW_SUBJECTS` when a fold would have nobody */
function checkFoldsFilled({ splits, foldBySubject }: Deal, folds: number): void {
  if (foldBySubject.size >= folds) return
  throw new MeshflError(
    'DATASET_TOO_FEW_SUBJECTS',
    `${foldBySubject.size} of ${splits.size} subjects are not for test, and ${folds} folds need one each at least`,
    { hint: 'ask for fewer --folds, add subjects, or give test a smaller part with --ratios', data: { folds } },
  )
}

/**
 * Refuses to deal nothing to train on to a site.
 * @throws MeshflError `DATASET_TOO_FEW_SUBJECTS`
 */
function checkTrainingSubjects({ splits, sites, siteOf }: Deal, partition: Partition, stratify?: string): void {
  const training = [...splits].flatMap(([subject, split]) => (split === 'train' ? [subject] : []))
  const filled = new Set(training.map((subject) => siteOf.get(subject)))
  const without = sites.filter((name) => !filled.has(name))
  if (without.length === 0) return
  const data = { subjects: splits.size, training: training.length, sites: without }
  if (partition.how === 'by') {
    throw new MeshflError(
      'DATASET_TOO_FEW_SUBJECTS',
      `${someOf(without)} would have nothing to train on: no subject of that ${partition.column} is in train`,
      {
        hint: `${stratify === partition.column ? '' : `split every ${partition.column} alike with --stratify ${partition.column}, `}choose another --seed, add subjects, or give train a larger part with --ratios: of a value with one subject, all (--ratios 1,0,0)`,
        data,
      },
    )
  }
  throw new MeshflError(
    'DATASET_TOO_FEW_SUBJECTS',
    `${training.length} of ${splits.size} subjects are for training, and ${sites.length} sites need one each at least`,
    { hint: 'ask for fewer --sites, add subjects, or give train a larger part with --ratios', data },
  )
}

/**
 * Refuses to leave a dataset, or a site, with nothing to train on because its subjects were left out.
 * @param there the subjects that can be used
 * @throws MeshflError `DATASET_TOO_FEW_SUBJECTS`
 */
export function checkSitesTrain(
  { splits, sites, siteOf }: Pick<Deal, 'splits' | 'sites' | 'siteOf'>,
  there: ReadonlyMap<string, Split>,
): void {
  const isInTrain = (split: Split): boolean => split === 'train'
  if ([...splits.values()].some(isInTrain) && ![...there.values()].some(isInTrain)) {
    throw new MeshflError(
      'DATASET_TOO_FEW_SUBJECTS',
      'there is nothing to train on: all subjects dealt there were left out',
      {
        hint: 'mend their files and run the same command again, or choose another --seed',
      },
    )
  }
  const training = new Set([...there].filter(([, split]) => split === 'train').map(([subject]) => siteOf.get(subject)))
  const without = sites.filter((name) => !training.has(name))
  if (without.length === 0) return
  throw new MeshflError(
    'DATASET_TOO_FEW_SUBJECTS',
    `${without.join(', ')} would have nothing to train on: the subjects dealt there were left out`,
    {
      hint: 'mend their files and run the same command again, or ask for fewer --sites',
      data: { sites: without },
    },
  )
}
