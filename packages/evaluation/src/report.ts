import { assertNever, CrossScoreSchema, DiceSchema, type EventOf } from '@meshfl/core'
import { z } from 'zod'
import { BaselineComparisonSchema } from './baseline.js'
import { CaseMetricsSchema } from './case-metrics.js'
import { GateOutcomeSchema } from './gates.js'
import { EmptyConventionSchema } from './metrics/metric.js'
import { StatisticSchema } from './statistics.js'
import { SurfaceConventionSchema } from './surface/surface-distances.js'

export const REPORT_FORMAT = 'meshfl-report/1'

export const SummarySchema = z.strictObject({
  /** Over the cases: their mean Dice without background. The headline figure. */
  foregroundDice: StatisticSchema,
  /** Over the cases: the reference's mean over all classes, background among them. */
  meshflDice: StatisticSchema,
  /** By class name, then by metric id. */
  perClass: z.record(z.string(), z.record(z.string(), StatisticSchema)),
})
export type Summary = z.infer<typeof SummarySchema>

/** One round of the training behind the model; null where nothing was measured. */
export const CurvePointSchema = z.strictObject({
  round: z.int(),
  trainLoss: z.number().nullable(),
  trainForegroundDice: z.number().nullable(),
  validLoss: z.number().nullable(),
  validForegroundDice: z.number().nullable(),
})
export type CurvePoint = z.infer<typeof CurvePointSchema>

/** The rounds of one site: its training, and the global model on its validation cases. */
export const SiteCurveSchema = z.strictObject({ site: z.string(), points: z.array(CurvePointSchema) })
export type SiteCurve = z.infer<typeof SiteCurveSchema>

/** Every site's last model, and the global one, on every site's validation cases. */
export const CrossSiteSchema = z.strictObject({ round: z.int(), scores: z.array(CrossScoreSchema) })
export type CrossSite = z.infer<typeof CrossSiteSchema>

const bytes = z.int().min(0)

/** Bytes between the coordinator and a site over a run, in the TCP stream; sent: to the site. */
export const SiteTrafficSchema = z.strictObject({
  site: z.string(),
  /** Rounds that were counted. */
  rounds: z.int(),
  bytesSent: bytes,
  bytesReceived: bytes,
  /** Of them models, scores and descriptions, without framing, encryption and signatures. */
  payloadSent: bytes,
  payloadReceived: bytes,
  /** Bytes of a round: the median. */
  roundSent: bytes,
  roundReceived: bytes,
})
export type SiteTraffic = z.infer<typeof SiteTrafficSchema>

/** The same cases by other means, for example the best intensity thresholds: what the model must beat. */
export const ComparisonSchema = z.strictObject({ name: z.string(), dice: DiceSchema, note: z.string().optional() })
export type Comparison = z.infer<typeof ComparisonSchema>

/** A case that was to be scored, or held against a baseline, and was not. */
export const LeftOutSchema = z.strictObject({
  subject: z.string(),
  /** `failed`: it could not be scored. `only-in-baseline`: a gate on a baseline would have needed it. */
  why: z.enum(['failed', 'no-prediction', 'no-truth', 'only-in-baseline']),
  /** In one sentence. */
  reason: z.string(),
})
export type LeftOut = z.infer<typeof LeftOutSchema>

/** report.json: everything that the other files of a report are drawn from. */
export const ReportSchema = z.strictObject({
  format: z.literal(REPORT_FORMAT),
  /** Name and version of what made it. */
  tool: z.string(),
  /** ISO 8601, UTC. */
  created: z.string(),
  /** What computed the predictions; null when they came from a folder. */
  engine: z
    .strictObject({
      name: z.string(),
      device: z.string(),
      instructionSet: z.string().optional(),
      precision: z.string().optional(),
    })
    .nullable(),
  /** Null when the predictions came from a folder. */
  model: z.strictObject({ name: z.string(), sha256: z.string() }).nullable(),
  dataset: z.strictObject({ name: z.string(), sha256: z.string().optional() }),
  /** `train`, `valid`, `test`; null for folder against folder. */
  split: z.string().nullable(),
  /** Background first. */
  classes: z.array(z.strictObject({ value: z.int(), name: z.string() })).min(1),
  conventions: z.strictObject({
    /** What 0/0 counts as. */
    empty: EmptyConventionSchema,
    /** How surfaces were measured; absent where they were not. */
    surface: SurfaceConventionSchema.optional(),
  }),
  /** How often this model has been evaluated on this split, this time included. */
  evaluations: z.int().min(1),
  gate: z.enum(['passed', 'failed', 'none']),
  gates: z.array(GateOutcomeSchema),
  summary: SummarySchema,
  sites: z.array(z.strictObject({ site: z.string(), cases: z.int(), summary: SummarySchema })).optional(),
  comparisons: z.array(ComparisonSchema).optional(),
  /** Case by case with an earlier report. */
  baseline: BaselineComparisonSchema.optional(),
  curves: z.array(CurvePointSchema).optional(),
  siteCurves: z.array(SiteCurveSchema).optional(),
  crossSite: CrossSiteSchema.optional(),
  traffic: z.array(SiteTrafficSchema).optional(),
  /** Whatever a reader must know: cases in error and left out, values replaced. */
  notes: z.array(z.string()).optional(),
  leftOut: z.array(LeftOutSchema).optional(),
  cases: z.array(CaseMetricsSchema),
})
export type Report = z.infer<typeof ReportSchema>

/** Whether a gate was to be held against a case that was left out, or it was to be scored: such a case makes the exit code 3. */
export function isFault({ why }: LeftOut, { gates }: Pick<Report, 'gates'>): boolean {
  switch (why) {
    case 'failed':
    case 'only-in-baseline':
      return true
    case 'no-prediction':
      return gates.length > 0
    case 'no-truth':
      return false
    default:
      return assertNever(why)
  }
}

/** A second look at the test split: its figures are no longer those of unseen data. */
export function isRepeatedTest(report: Report): boolean {
  return report.split === 'test' && report.evaluations > 1
}

/** The last line that `meshfl eval --json` prints. */
export function reportEvent(report: Report, path: string): EventOf<'report'> {
  return {
    type: 'report',
    cases: report.cases.length,
    foregroundDice: report.summary.foregroundDice.mean,
    dice: Object.fromEntries(
      report.classes.slice(1).map(({ name }) => [name, report.summary.perClass[name]?.dice?.mean ?? null]),
    ),
    ...(report.baseline ? { baselineDifference: report.baseline.differences[0]?.difference ?? null } : {}),
    gate: report.gate,
    path,
  }
}
