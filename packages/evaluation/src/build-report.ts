import { now } from '@meshfl/core'
import { compareWithBaseline } from './baseline.js'
import { type CaseMetrics, subjectOf } from './case-metrics.js'
import { dropGates, judgeDrop } from './drop-gate.js'
import { type Gate, judgeGate } from './gates.js'
import { classMetricsOf } from './metrics/registry.js'
import type { Baseline } from './read-baseline.js'
import {
  type Comparison,
  type CrossSite,
  type CurvePoint,
  type LeftOut,
  REPORT_FORMAT,
  type Report,
  ReportSchema,
  type SiteCurve,
  type SiteTraffic,
  type Summary,
} from './report.js'
import { statisticOf, withInterval } from './statistics.js'
import type { SurfaceConvention } from './surface/surface-distances.js'

export interface ReportInput {
  /** For example `meshfl 0.1.0`. */
  tool: string
  /** Default: now. */
  created?: string | undefined
  engine?: Report['engine'] | undefined
  model?: Report['model'] | undefined
  dataset: Report['dataset']
  split?: string | null | undefined
  classes: Report['classes']
  conventions?: Partial<Report['conventions']> | undefined
  /** How often this model has been evaluated on this split, this time included. Default 1. */
  evaluations?: number | undefined
  /** Measured with the same conventions. */
  cases: readonly CaseMetrics[]
  gates?: readonly Gate[] | undefined
  comparisons?: readonly Comparison[] | undefined
  /** An earlier report, to be compared with case by case. */
  baseline?: Baseline | undefined
  /** Gate: how far the Dice may lie below the baseline's. */
  maxDrop?: number | undefined
  curves?: readonly CurvePoint[] | undefined
  siteCurves?: readonly SiteCurve[] | undefined
  crossSite?: CrossSite | undefined
  traffic?: readonly SiteTraffic[] | undefined
  notes?: readonly string[] | undefined
  leftOut?: readonly LeftOut[] | undefined
}

/**
 * Puts the cases of one evaluation together: statistics over cases and per site, gates judged, checked against the schema.
 * @throws MeshflError `EVAL_GATE_UNKNOWN`
 */
export function buildReport(input: ReportInput): Report {
  const cases = [...input.cases]
  const classNames = input.classes.map((one) => one.name)
  if (new Set(classNames).size !== classNames.length) throw new RangeError(`classes share a name: ${classNames}`)
  if (classNames.includes('__proto__')) throw new RangeError('a class cannot be called __proto__') // no key of a record
  const surface = input.conventions?.surface
  const baseline = input.baseline && compareWithBaseline(cases, classNames, input.baseline)
  const drops = baseline && input.maxDrop !== undefined ? dropGates(classNames, input.maxDrop) : []
  const gates = [
    ...(input.gates ?? []).map((gate) => judgeGate(gate, cases, classNames, surface)),
    ...drops.map((gate) => judgeDrop(gate, baseline!)),
  ]
  const siteNames = [...new Set(cases.flatMap((one) => (one.site === undefined ? [] : [one.site])))].sort()
  const sites = siteNames.map((site) => {
    const own = cases.filter((one) => one.site === site)
    return { site, cases: own.length, summary: summarize(own, classNames, surface) }
  })
  return ReportSchema.parse({
    format: REPORT_FORMAT,
    tool: input.tool,
    created: input.created ?? now(),
    engine: input.engine ?? null,
    model: input.model ?? null,
    dataset: input.dataset,
    split: input.split ?? null,
    classes: input.classes,
    conventions: { empty: input.conventions?.empty ?? 'nan', ...(surface ? { surface } : {}) },
    evaluations: input.evaluations ?? 1,
    gate: gates.length === 0 ? 'none' : gates.every((gate) => gate.outcome === 'passed') ? 'passed' : 'failed',
    gates,
    summary: summarize(cases, classNames, surface),
    ...(sites.length > 0 ? { sites } : {}),
    ...(input.comparisons?.length ? { comparisons: input.comparisons } : {}),
    ...(baseline ? { baseline } : {}),
    ...(input.curves?.length ? { curves: input.curves } : {}),
    ...(input.siteCurves?.length ? { siteCurves: input.siteCurves } : {}),
    ...(input.crossSite ? { crossSite: input.crossSite } : {}),
    ...(input.traffic?.length ? { traffic: input.traffic } : {}),
    ...(input.notes?.length ? { notes: input.notes } : {}),
    ...(input.leftOut?.length ? { leftOut: input.leftOut } : {}),
    cases,
  })
}

/** Statistics over cases of the two means and of every metric of every class; intervals are of Dice, over subjects. */
export function summarize(
  cases: readonly CaseMetrics[],
  classNames: readonly string[],
  surface?: SurfaceConvention,
): Summary {
  const subjects = cases.map(subjectOf)
  return {
    foregroundDice: withInterval(
      cases.map((one) => one.foregroundDice),
      subjects,
    ),
    meshflDice: withInterval(
      cases.map((one) => one.meshflDice),
      subjects,
    ),
    perClass: Object.fromEntries(
      classNames.map((name, index) => [
        name,
        Object.fromEntries(
          classMetricsOf(surface, index).map(({ id }) => {
            const values = cases.map((one) => one.perClass[name]?.[id] ?? null)
            return [id, id === 'dice' ? withInterval(values, subjects) : statisticOf(values)]
          }),
        ),
      ]),
    ),
  }
}
