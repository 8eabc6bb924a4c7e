import { type MeshflEvent, now } from '@meshfl/core'
import type { CaseMetrics } from './case-metrics.js'
import { type Gate, judgeGate } from './gates.js'
import { METRICS } from './metrics/registry.js'
import {
  type Comparison,
  type CurvePoint,
  REPORT_FORMAT,
  type Report,
  ReportSchema,
  type SiteCurve,
  type Summary,
} from './report.js'
import { statisticOf } from './statistics.js'

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
  /** Measured with the same convention. */
  cases: readonly CaseMetrics[]
  gates?: readonly Gate[] | undefined
  comparisons?: readonly Comparison[] | undefined
  curves?: readonly CurvePoint[] | undefined
  siteCurves?: readonly SiteCurve[] | undefined
  notes?: readonly string[] | undefined
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
  const gates = (input.gates ?? []).map((gate) => judgeGate(gate, cases, classNames))
  const siteNames = [...new Set(cases.flatMap((one) => (one.site === undefined ? [] : [one.site])))].sort()
  const sites = siteNames.map((site) => {
    const own = cases.filter((one) => one.site === site)
    return { site, cases: own.length, summary: summarize(own, classNames) }
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
    conventions: { empty: input.conventions?.empty ?? 'nan' },
    evaluations: input.evaluations ?? 1,
    gate: gates.length === 0 ? 'none' : gates.every((gate) => gate.outcome === 'passed') ? 'passed' : 'failed',
    gates,
    summary: summarize(cases, classNames),
    ...(sites.length > 0 ? { sites } : {}),
    ...(input.comparisons?.length ? { comparisons: input.comparisons } : {}),
    ...(input.curves?.length ? { curves: input.curves } : {}),
    ...(input.siteCurves?.length ? { siteCurves: input.siteCurves } : {}),
    ...(input.notes?.length ? { notes: input.notes } : {}),
    cases,
  })
}

/** Statistics over cases of the two means and of every metric of every class. */
export function summarize(cases: readonly CaseMetrics[], classNames: readonly string[]): Summary {
  return {
    foregroundDice: statisticOf(cases.map((one) => one.foregroundDice)),
    meshflDice: statisticOf(cases.map((one) => one.meshflDice)),
    perClass: Object.fromEntries(
      classNames.map((name) => [
        name,
        Object.fromEntries(
          METRICS.map(({ id }) => [id, statisticOf(cases.map((one) => one.perClass[name]?.[id] ?? null))]),
        ),
      ]),
    ),
  }
}

/** The curves of a run from its events, a point a round. A round that was done twice, after a crash, keeps its last. */
export function curvesFromEvents(events: Iterable<MeshflEvent>): CurvePoint[] {
  const points = new Map<number, CurvePoint>()
  for (const event of events) {
    if (event.type !== 'round-finished') continue
    points.set(event.round, {
      round: event.round,
      trainLoss: event.trainLoss,
      trainForegroundDice: event.trainDice?.foregroundDice ?? null,
      validLoss: event.validLoss,
      validForegroundDice: event.validDice?.foregroundDice ?? null,
    })
  }
  return [...points.values()].sort((a, b) => a.round - b.round)
}

/** The curves of each site of a federation, sorted by name. Of a run on one machine, whose curves are those of the run, there are none. */
export function siteCurvesFromEvents(events: Iterable<MeshflEvent>): SiteCurve[] {
  const sites = new Map<string, Map<number, CurvePoint>>()
  for (const event of events) {
    if (event.type !== 'site-trained' && event.type !== 'site-evaluated') continue
    const points = sites.get(event.site) ?? new Map<number, CurvePoint>()
    sites.set(event.site, points)
    const nothing = { trainLoss: null, trainForegroundDice: null, validLoss: null, validForegroundDice: null }
    const before = points.get(event.round) ?? { round: event.round, ...nothing }
    const { loss, dice } = event
    const measured =
      event.type === 'site-trained'
        ? { trainLoss: loss, trainForegroundDice: dice.foregroundDice }
        : { validLoss: loss, validForegroundDice: event.cases > 0 ? dice.foregroundDice : null }
    points.set(event.round, { ...before, ...measured })
  }
  if (sites.size < 2) return []
  return [...sites]
    .map(([site, points]) => ({ site, points: [...points.values()].sort((a, b) => a.round - b.round) }))
    .sort((a, b) => (a.site < b.site ? -1 : 1))
}
