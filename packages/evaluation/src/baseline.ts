import { MeshflError } from '@meshfl/core'
import { z } from 'zod'
import { bcaInterval } from './bca-interval.js'
import { fewerSubjects } from './by-subject.js'
import { type CaseMetrics, subjectOf } from './case-metrics.js'
import { meanOf } from './confusion.js'
import { FOREGROUND, gateValue } from './gates.js'
import type { EmptyConvention } from './metrics/metric.js'
import { holm, signFlipTest } from './paired-test.js'
import type { Baseline } from './read-baseline.js'

/** The Dice of one class, here less in the baseline, over the cases that both have. */
export const DifferenceSchema = z.strictObject({
  /** A class name, or `foreground`. */
  class: z.string(),
  /** Cases that were compared. */
  cases: z.int().min(0),
  /** Subjects that they are of, where those are fewer. */
  subjects: z.int().min(0).optional(),
  /** Cases of both reports that have no Dice in either, because the class is in none of their volumes. */
  leftOut: z.int().min(0),
  /** The mean Dice of those that were compared, in the baseline and here; null without one. */
  baseline: z.number().nullable(),
  mean: z.number().nullable(),
  difference: z.number().nullable(),
  /** 95 % confidence interval of the mean difference, see `bcaInterval`. */
  ci95: z.tuple([z.number(), z.number()]).nullable(),
  better: z.int().min(0),
  worse: z.int().min(0),
  /** Two-sided permutation test, see `signFlipTest`, and adjusted for the number of rows (Holm). */
  p: z.number().nullable(),
  pHolm: z.number().nullable(),
})
export type Difference = z.infer<typeof DifferenceSchema>

export const BaselineComparisonSchema = z.strictObject({
  /** The baseline's model, or null where its predictions came from a folder. */
  model: z.strictObject({ name: z.string(), sha256: z.string() }).nullable(),
  dataset: z.string(),
  created: z.string(),
  /** Foreground first, then the classes without background. */
  differences: z.array(DifferenceSchema),
  /** Subjects that only one of the reports has. */
  onlyHere: z.array(z.string()),
  onlyInBaseline: z.array(z.string()),
  /** Subjects of both whose true volumes differ: another truth, or another scan, of the same name. */
  otherTruth: z.array(z.string()),
  /** The cases that are in both, each with a pair for every row of `differences`; null where it was not compared. */
  cases: z.array(
    z.strictObject({
      subject: z.string(),
      pairs: z.array(z.strictObject({ here: z.number(), baseline: z.number() }).nullable()),
    }),
  ),
})
export type BaselineComparison = z.infer<typeof BaselineComparisonSchema>
/** One case and row: its Dice here and in the baseline; null where it was not compared. */
export type ComparedPair = BaselineComparison['cases'][number]['pairs'][number]

/**
 * Whether the cases to be scored can be compared with a baseline: asked before hours of scoring.
 * @throws MeshflError `EVAL_BASELINE_MISMATCH`
 */
export function checkBaseline(
  baseline: Baseline,
  {
    subjects,
    classNames,
    empty,
  }: { subjects: readonly string[]; classNames: readonly string[]; empty: EmptyConvention },
): void {
  const theirs = baseline.classes.map(({ name }) => name)
  if (theirs.join('\n') !== classNames.join('\n')) {
    throw mismatch(
      `the baseline has the classes ${theirs.join(', ')}, this evaluation ${classNames.join(', ')}`,
      'compare evaluations of the same classes',
    )
  }
  if (baseline.conventions.empty !== empty) {
    throw mismatch(
      `the baseline counts 0/0 as ${baseline.conventions.empty}, this evaluation as ${empty}`,
      `give --empty ${baseline.conventions.empty}, or score the baseline again`,
    )
  }
  const here = new Set(subjects)
  if (!baseline.cases.some(({ subject }) => here.has(subject))) {
    throw mismatch(
      'no subject of the baseline is to be scored here',
      'compare evaluations of the same cases: the same dataset and split, or files of the same names',
    )
  }
}

/** What is compared: the foreground mean, and each class but background. A single class is the foreground mean, and no row of its own. */
export function comparedRows(classNames: readonly string[]): string[] {
  return [FOREGROUND, ...(classNames.length > 2 ? classNames.slice(1) : [])]
}

/** Compares case by case with a baseline, by subject. */
export function compareWithBaseline(
  cases: readonly CaseMetrics[],
  classNames: readonly string[],
  baseline: Baseline,
): BaselineComparison {
  const there = new Map(baseline.cases.map((one) => [one.subject, one]))
  const both = cases.flatMap((here) => {
    const found = there.get(here.subject)
    return found ? [{ here, baseline: found }] : []
  })
  const rows = comparedRows(classNames)
  const compared = both.map(({ here, baseline }) => ({
    subject: here.subject,
    pairs: rows.map((row) => pairOf(row, here, baseline)),
  }))
  // A folder of predictions does not tell whose they are; the baseline may.
  const ofSubjects = both.map(({ here, baseline }) => here.scanOf ?? subjectOf(baseline))
  const differences = rows.map((row, i) =>
    differenceOf(
      row,
      compared.map(({ pairs }) => pairs[i]!),
      ofSubjects,
    ),
  )
  const adjusted = holm(differences.map(({ p }) => p))
  const subjects = new Set(cases.map(({ subject }) => subject))
  return {
    model: baseline.model && { name: baseline.model.name, sha256: baseline.model.sha256 },
    dataset: baseline.dataset.name,
    created: baseline.created,
    differences: differences.map((one, i) => ({ ...one, pHolm: adjusted[i]! })),
    onlyHere: [...subjects].filter((subject) => !there.has(subject)).sort(),
    onlyInBaseline: [...there.keys()].filter((subject) => !subjects.has(subject)).sort(),
    otherTruth: both.filter((one) => hasOtherTruth(one, classNames)).map(({ here }) => here.subject),
    cases: compared,
  }
}

/**
 * The Dice of a case here and in the baseline. Where only one of them finds a class that is not there, its Dice is 0 and that of the
 * other is 0/0, which is rightly nothing and counts as 1: else what was found wrongly would be left out.
 */
export function pairOf(row: string, here: CaseMetrics, baseline: Baseline['cases'][number]): ComparedPair {
  const of = { class: row, metric: 'dice' }
  const [mine, theirs] = [gateValue(of, here), gateValue(of, baseline)]
  return mine === null && theirs === null ? null : { here: mine ?? 1, baseline: theirs ?? 1 }
}

/** Compares pairs of a row; `pHolm` is left to who knows how many rows there are. */
export function differenceOf(row: string, pairs: readonly ComparedPair[], ofSubjects: readonly string[]): Difference {
  const compared = pairs.filter((pair) => pair !== null)
  const differences = compared.map(({ here, baseline }) => here - baseline)
  const subjects = ofSubjects.filter((_, i) => pairs[i] !== null)
  return {
    class: row,
    cases: compared.length,
    ...fewerSubjects(subjects),
    leftOut: pairs.length - compared.length,
    baseline: meanOf(compared.map(({ baseline }) => baseline)),
    mean: meanOf(compared.map(({ here }) => here)),
    difference: meanOf(differences),
    ci95: bcaInterval(differences, subjects),
    better: differences.filter((x) => x > 0).length,
    worse: differences.filter((x) => x < 0).length,
    p: signFlipTest(differences, subjects),
    pHolm: null,
  }
}

function hasOtherTruth(
  { here, baseline }: { here: CaseMetrics; baseline: Baseline['cases'][number] },
  classNames: readonly string[],
): boolean {
  return classNames.some((name) => {
    const [mine, theirs] = [here.perClass[name]?.truthMl ?? 0, baseline.perClass[name]!.truthMl]
    return Math.abs(mine - theirs) > 1e-6 * Math.max(mine, theirs)
  })
}

function mismatch(message: string, hint: string): MeshflError {
  return new MeshflError('EVAL_BASELINE_MISMATCH', message, { hint })
}
