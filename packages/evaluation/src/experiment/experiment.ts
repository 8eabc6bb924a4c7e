import { canonicalJson, MeshflError } from '@meshfl/core'
import { z } from 'zod'
import { comparedRows, DifferenceSchema, differenceOf, pairOf } from '../baseline.js'
import { subjectOf } from '../case-metrics.js'
import { meanOf } from '../confusion.js'
import { FOREGROUND, gateValue } from '../gates.js'
import { holm } from '../paired-test.js'
import type { Baseline } from '../read-baseline.js'
import { StatisticSchema, statisticOf } from '../statistics.js'
import { noticesOf } from './words.js'

const EXPERIMENT_FORMAT = 'meshfl-experiment/1'

/** One training of an arm with one seed. */
const RunSchema = z.strictObject({
  seed: z.int(),
  /** Of the run, from the experiment's folder. */
  path: z.string(),
  /** Of the model that was scored. */
  modelSha256: z.string(),
  rounds: z.int(),
  /** What trained it, each with its name, instruction set and precision: several where it went on with another. */
  engines: z.array(z.string()).min(1),
  /** How often this model has been scored on this split. */
  evaluations: z.int().min(1),
  /** The mean Dice over the cases, by the rows of the arm: `foreground`, and each class. */
  dice: z.record(z.string(), z.number().nullable()),
})

const ArmSchema = z.strictObject({
  name: z.string(),
  /** `train` on one machine, `simulate` a federation. */
  how: z.enum(['train', 'simulate']),
  /** Of what it was trained on. */
  dataset: z.string(),
  runs: z.array(RunSchema).min(1),
  /** Over the seeds: mean and spread of the mean Dice, by row. */
  dice: z.record(z.string(), StatisticSchema),
  /** Case by case with the first arm, each with its mean over the seeds; absent of the first. */
  differences: z.array(DifferenceSchema).optional(),
})
export type ExperimentArm = z.infer<typeof ArmSchema>

/** experiment.json: everything that the other files of an experiment's report are drawn from. */
export const ExperimentSchema = z.strictObject({
  format: z.literal(EXPERIMENT_FORMAT),
  /** Name and version of what made it. */
  tool: z.string(),
  /** ISO 8601, UTC. */
  created: z.string(),
  /** What all arms were scored on. */
  dataset: z.strictObject({ name: z.string(), sha256: z.string().optional() }),
  split: z.string(),
  seeds: z.array(z.int()).min(1),
  /** The rows of all tables: `foreground`, and, of several, each class without background. */
  rows: z.array(z.string()).min(1),
  /** Cases that every run was scored on, and subjects that they are of. */
  cases: z.int(),
  subjects: z.int(),
  /** In the file's order; the others are compared with the first. */
  arms: z.array(ArmSchema).min(1),
  /** What a reader must know: of all runs; then whatever their reports note, and of which run it is. */
  notes: z.array(z.string()),
})
export type Experiment = z.infer<typeof ExperimentSchema>

/** A run that was scored. */
export interface ScoredRun {
  seed: number
  path: string
  rounds: number
  engines: string[]
  evaluations: number
  report: Baseline
  /** Beside those of its report, which may say the same. */
  notes: readonly string[]
}

export interface ExperimentInput extends Pick<Experiment, 'tool' | 'created' | 'split' | 'seeds'> {
  /** Every arm has the runs of all seeds, in their order, scored on the same cases. */
  arms: readonly (Pick<ExperimentArm, 'name' | 'how' | 'dataset'> & { runs: readonly ScoredRun[] })[]
}

/**
 * Sums up the arms of an experiment. The spread of an arm is over its seeds. Arms are compared by what each case has on average over
 * the seeds, for seeds are not subjects: more of them make no difference significant.
 * @throws MeshflError `EXPERIMENT_CHANGED` where runs were scored on other cases than the first
 */
export function buildExperiment({ arms, ...about }: ExperimentInput): Experiment {
  const first = arms[0]!
  const { dataset, classes, cases } = first.runs[0]!.report
  checkSameCases(arms)
  const rows = comparedRows(classes.map(({ name }) => name))
  const tables = arms.map((arm) => arm.runs.map(tableOf))
  const built = arms.map((arm, i): ExperimentArm => {
    const runs = arm.runs.map(({ report, notes: _, ...run }) => ({
      ...run,
      modelSha256: report.model?.sha256 ?? '',
      dice: Object.fromEntries(rows.map((row) => [row, meanDice(report, row)])),
    }))
    return {
      ...{ name: arm.name, how: arm.how, dataset: arm.dataset, runs },
      dice: Object.fromEntries(rows.map((row) => [row, statisticOf(runs.map(({ dice }) => dice[row]!))])),
      ...(i === 0 ? {} : { differences: rows.map((row) => compare(cases, tables[i]!, tables[0]!, row)) }),
    }
  })
  const adjusted = holm(built.flatMap(({ differences }) => differences?.map(({ p }) => p) ?? []))
  for (const difference of built.flatMap(({ differences }) => differences ?? []))
    difference.pHolm = adjusted.shift() ?? null
  return {
    format: EXPERIMENT_FORMAT,
    ...about,
    dataset: { name: dataset.name, ...(dataset.sha256 === undefined ? {} : { sha256: dataset.sha256 }) },
    ...{ rows, cases: cases.length, subjects: new Set(cases.map(subjectOf)).size, arms: built },
    notes: [
      ...noticesOf({ arms: built, split: about.split }),
      ...arms.flatMap(({ name, runs }) => notesOf(name, runs)),
    ],
  }
}

function checkSameCases(arms: ExperimentInput['arms']): void {
  const subjectsOf = ({ report }: ScoredRun): string => canonicalJson(report.cases.map(({ subject }) => subject).sort())
  const runs = arms.flatMap((arm) => arm.runs)
  const other = runs.find((run) => subjectsOf(run) !== subjectsOf(runs[0]!))
  if (!other) return
  throw new MeshflError('EXPERIMENT_CHANGED', `${other.path} was not scored on the same cases as ${runs[0]!.path}`, {
    kind: 'usage',
    hint: 'run the experiment again: it scores anew what was scored on other cases',
  })
}

/** What is noted of several trainings of an arm stands there once. */
function notesOf(arm: string, runs: readonly ScoredRun[]): string[] {
  const seedsOf = new Map<string, number[]>()
  for (const { seed, report, notes } of runs)
    for (const note of new Set([...(report.notes ?? []), ...notes]))
      seedsOf.set(note, [...(seedsOf.get(note) ?? []), seed])
  return [...seedsOf].map(
    ([note, seeds]) => `${arm}, ${seeds.length === 1 ? 'seed' : 'seeds'} ${seeds.join(', ')}: ${note}`,
  )
}

function meanDice({ cases }: Baseline, row: string): number | null {
  return meanOf(cases.map((one) => gateValue({ class: row, metric: 'dice' }, one)))
}

/**
 * Means of the same numbers in another order may differ in their last bits, near 1e-16: by so little a case is no better and no worse,
 * and a test of signs would find it significant.
 */
const ROUNDING = 1e-12

type CaseTable = ReadonlyMap<string, Baseline['cases'][number]>

const tableOf = ({ report }: ScoredRun): CaseTable => new Map(report.cases.map((one) => [one.subject, one]))

function compare(
  cases: Baseline['cases'],
  here: readonly CaseTable[],
  there: readonly CaseTable[],
  row: string,
): z.infer<typeof DifferenceSchema> {
  const pairs = cases.map(({ subject }) => {
    const ofSeeds = here.flatMap((table, i) => {
      const pair = pairOf(row, table.get(subject)!, there[i]!.get(subject)!)
      return pair === null ? [] : [pair]
    })
    const [mine, theirs] = [meanOf(ofSeeds.map((pair) => pair.here)), meanOf(ofSeeds.map((pair) => pair.baseline))]
    if (mine === null || theirs === null) return null
    return { here: Math.abs(mine - theirs) <= ROUNDING ? theirs : mine, baseline: theirs }
  })
  return differenceOf(row, pairs, cases.map(subjectOf))
}

/** What a row is called in a table. */
export function rowName(row: string): string {
  return row === FOREGROUND ? 'Foreground mean' : row
}
