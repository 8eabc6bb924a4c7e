import { MeshflError } from '@meshfl/core'
import { z } from 'zod'
import { bcaInterval } from './bca-interval.js'
import { type CaseMetrics, CaseMetricsSchema } from './case-metrics.js'
import { meanOf } from './confusion.js'
import { FOREGROUND, gateValue } from './gates.js'
import { type EmptyConvention, EmptyConventionSchema } from './metrics/metric.js'
import { holm, signFlipTest } from './paired-test.js'

/** What a comparison reads of an earlier report.json. Whatever else another version wrote there is passed over. */
export const BaselineSchema = z.object({
  format: z.literal('meshfl-report/1'),
  created: z.string(),
  model: z.object({ name: z.string(), sha256: z.string() }).nullable(),
  dataset: z.object({ name: z.string(), sha256: z.string().optional() }),
  split: z.string().nullable(),
  classes: z.array(z.object({ name: z.string() })).min(1),
  conventions: z.object({ empty: EmptyConventionSchema }),
  cases: z.array(z.object(CaseMetricsSchema.shape)),
})
export type Baseline = z.infer<typeof BaselineSchema>

/** The Dice of one class, here less in the baseline, over the cases that both have. */
const DifferenceSchema = z.strictObject({
  /** A class name, or `foreground`. */
  class: z.string(),
  /** Cases that have a value in both. */
  cases: z.int().min(0),
  /** Cases of both reports of which one has no value. */
  leftOut: z.int().min(0),
  /** Their mean Dice in the baseline, and here; null without cases. */
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
  /** Dice in the baseline of the cases that are in both. */
  cases: z.array(
    z.strictObject({
      subject: z.string(),
      foregroundDice: z.number().nullable(),
      /** By class name, without background. */
      perClass: z.record(z.string(), z.number().nullable()),
    }),
  ),
})
export type BaselineComparison = z.infer<typeof BaselineComparisonSchema>

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
  if (!baseline.cases.some(({ subject }) => subjects.includes(subject))) {
    throw mismatch(
      'no subject of the baseline is to be scored here',
      'compare evaluations of the same cases: the same dataset and split, or files of the same names',
    )
  }
}

/** Compares case by case with a baseline, by subject. */
export function compareWithBaseline(
  cases: readonly CaseMetrics[],
  classNames: readonly string[],
  baseline: Baseline,
): BaselineComparison {
  const there = new Map(baseline.cases.map((one) => [one.subject, one]))
  const pairs = cases.flatMap((here): Pair[] => {
    const found = there.get(here.subject)
    return found ? [{ here, baseline: found }] : []
  })
  const differences = [FOREGROUND, ...classNames.slice(1)].map((name) => differenceOf(name, pairs))
  const adjusted = holm(differences.map(({ p }) => p))
  const here = new Set(cases.map(({ subject }) => subject))
  return {
    model: baseline.model && { name: baseline.model.name, sha256: baseline.model.sha256 },
    dataset: baseline.dataset.name,
    created: baseline.created,
    differences: differences.map((one, i) => ({ ...one, pHolm: adjusted[i]! })),
    onlyHere: [...here].filter((subject) => !there.has(subject)).sort(),
    onlyInBaseline: [...there.keys()].filter((subject) => !here.has(subject)).sort(),
    cases: pairs.map(({ here: { subject }, baseline: { foregroundDice, perClass } }) => ({
      subject,
      foregroundDice,
      perClass: Object.fromEntries(classNames.slice(1).map((name) => [name, perClass[name]?.dice ?? null])),
    })),
  }
}

/** One subject, here and in the baseline. */
interface Pair {
  here: CaseMetrics
  baseline: Baseline['cases'][number]
}

function differenceOf(name: string, pairs: readonly Pair[]): Difference {
  const gate = { class: name, metric: 'dice' }
  const values = pairs.flatMap(({ here, baseline }) => {
    const [mine, theirs] = [gateValue(gate, here), gateValue(gate, baseline)]
    return mine === null || theirs === null ? [] : [{ mine, theirs, difference: mine - theirs }]
  })
  const differences = values.map(({ difference }) => difference)
  return {
    class: name,
    cases: values.length,
    leftOut: pairs.length - values.length,
    baseline: meanOf(values.map(({ theirs }) => theirs)),
    mean: meanOf(values.map(({ mine }) => mine)),
    difference: meanOf(differences),
    ci95: bcaInterval(differences),
    better: differences.filter((x) => x > 0).length,
    worse: differences.filter((x) => x < 0).length,
    p: signFlipTest(differences),
    pHolm: null,
  }
}

function mismatch(message: string, hint: string): MeshflError {
  return new MeshflError('EVAL_BASELINE_MISMATCH', message, { hint })
}
