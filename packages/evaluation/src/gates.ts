import { MeshflError, someOf } from '@meshfl/core'
import { z } from 'zod'
import type { CaseMetrics } from './case-metrics.js'
import { meanOf } from './confusion.js'
import { classMetricsOf, SURFACE_METRICS } from './metrics/registry.js'
import { isUpTo, type SurfaceConvention } from './surface/surface-distances.js'

/** The class of a gate on the mean over all classes but background. */
export const FOREGROUND = 'foreground'

const OfClass = {
  /** A class name, or `foreground` (then the metric is `dice`). */
  class: z.string(),
  metric: z.string(),
}
/** A minimum for the mean over cases of one metric of one class. */
export const MinimumGateSchema = z.strictObject({ ...OfClass, min: z.number() })
/** A maximum for it: of distances, which are better when lower. */
export const MaximumGateSchema = z.strictObject({ ...OfClass, max: z.number() })
export const GateSchema = z.union([MinimumGateSchema, MaximumGateSchema])
export type Gate = z.infer<typeof GateSchema>

/** How far the mean Dice of a class, or of the foreground, may lie below that of a baseline. */
export const DropGateSchema = z.strictObject({
  class: z.string(),
  metric: z.literal('dice'),
  maxDrop: z.number().min(0),
})
export type DropGate = z.infer<typeof DropGateSchema>

const Outcome = {
  /** The mean over the cases that have a value, or that less the baseline's; null when none has. */
  value: z.number().nullable(),
  outcome: z.enum(['passed', 'failed']),
  /** Why, in one sentence. */
  reason: z.string(),
}
export const BoundOutcomeSchema = z.union([
  z.strictObject({ ...MinimumGateSchema.shape, ...Outcome }),
  z.strictObject({ ...MaximumGateSchema.shape, ...Outcome }),
])
export type BoundOutcome = z.infer<typeof BoundOutcomeSchema>
export const DropOutcomeSchema = z.strictObject({ ...DropGateSchema.shape, ...Outcome })
export type DropOutcome = z.infer<typeof DropOutcomeSchema>
export const GateOutcomeSchema = z.union([BoundOutcomeSchema, DropOutcomeSchema])
export type GateOutcome = z.infer<typeof GateOutcomeSchema>

/** The gate that `--min-dice x` asks for: the mean over cases of the foreground Dice. */
export function foregroundGate(min: number): Gate {
  return { class: FOREGROUND, metric: 'dice', min }
}

/**
 * Reads `class:metric=value` as a minimum or a maximum. The name of a class may hold colons and equal signs: the last ones count.
 * @throws MeshflError `EVAL_GATE_SYNTAX`
 */
export function parseGate(text: string, bound: 'min' | 'max' = 'min'): Gate {
  const equals = text.lastIndexOf('=')
  const colon = text.lastIndexOf(':', equals)
  const value = text.slice(equals + 1).trim()
  const limit = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(value) ? Number(value) : Number.NaN
  const of = { class: text.slice(0, colon).trim(), metric: text.slice(colon + 1, equals).trim() }
  if (equals < 0 || colon < 0 || !Number.isFinite(limit) || of.class === '' || of.metric === '') {
    throw new MeshflError('EVAL_GATE_SYNTAX', `"${text}" is no gate`, {
      kind: 'usage',
      hint:
        bound === 'min'
          ? 'write it as class:metric=value, for example "grey matter:dice=0.85" or foreground:dice=0.85'
          : 'write it as class:metric=value, for example "grey matter:hd95=3"',
      data: { text },
    })
  }
  return bound === 'min' ? { ...of, min: limit } : { ...of, max: limit }
}

/** What every case gave for a gate's class and metric. */
export function gateValue(gate: Pick<Gate, 'class' | 'metric'>, one: CaseMetrics): number | null {
  return gate.class === FOREGROUND ? one.foregroundDice : (one.perClass[gate.class]?.[gate.metric] ?? null)
}

/**
 * Holds the cases against a gate. A mean that cannot be formed fails it; so does a case whose value is undefined although the
 * truth holds the class, for a model that predicts nothing must not pass on the precision of the others. A distance is undefined also
 * where only the prediction holds the class, and no less wrong.
 * @throws MeshflError `EVAL_GATE_UNKNOWN` for a class or metric that the report does not have
 */
export function judgeGate(
  gate: Gate,
  cases: readonly CaseMetrics[],
  classNames: readonly string[],
  surface?: SurfaceConvention,
): BoundOutcome {
  checkGate(gate, classNames, surface)
  const values = cases.map((one) => gateValue(gate, one))
  const value = meanOf(values)
  const isHeld = ({ perClass: { [gate.class]: metrics } }: CaseMetrics): boolean =>
    (metrics?.truthMl ?? 0) > 0 || ('max' in gate && (metrics?.predictionMl ?? 0) > 0)
  const undefinedIn = cases.filter((one, i) => values[i] === null && isHeld(one))
  const failed = (reason: string): BoundOutcome => ({ ...gate, value, outcome: 'failed', reason })
  const what = `${gate.class} ${gate.metric}`
  if (value === null) return failed(`no case has a value for ${what}`)
  if (undefinedIn.length > 0)
    return failed(
      `${what} is undefined for ${someOf(undefinedIn.map((one) => one.subject))}, where the truth ${'max' in gate ? 'or the prediction ' : ''}holds the class`,
    )
  const mean = `${what} is ${figureText(value, gate)} over ${values.filter((v) => v !== null).length} of ${cases.length} cases`
  const [within, beyond] =
    'min' in gate ? [`at least ${gate.min}`, `below ${gate.min}`] : [`at most ${gate.max} mm`, `above ${gate.max} mm`]
  return isWithin(value, gate)
    ? { ...gate, value, outcome: 'passed', reason: `${mean}, ${within}` }
    : failed(`${mean}, ${beyond}`)
}

/** Whether a figure keeps to the bound of a gate, which is allowed itself. */
export function isWithin(value: number, gate: Gate): boolean {
  return 'min' in gate ? value >= gate.min : isUpTo(value, gate.max)
}

/** Four decimals, or all where those would lie on the other side of the bound: no 0.8000 is below 0.8. */
function figureText(value: number, gate: Gate): string {
  const text = value.toFixed(4)
  return isWithin(Number(text), gate) === isWithin(value, gate) ? text : String(value)
}

/**
 * Whether a gate can be held against these classes: asked before hours of scoring.
 * @throws MeshflError `EVAL_GATE_UNKNOWN` for a class or metric that the report will not have
 */
export function checkGate(gate: Gate, classNames: readonly string[], surface?: SurfaceConvention): void {
  const index = classNames.indexOf(gate.class)
  const ofForeground = gate.class === FOREGROUND
  const [bound, better] = 'min' in gate ? (['minimum', 'higher'] as const) : (['maximum', 'lower'] as const)
  const choices = (metrics: ReturnType<typeof classMetricsOf>): string[] =>
    metrics.filter((metric) => metric.better === better).map(({ id }) => id)
  const allowed = !ofForeground ? choices(classMetricsOf(surface, index)) : better === 'higher' ? ['dice'] : []
  if ((ofForeground || index >= 0) && allowed.includes(gate.metric)) return
  const unknown = (message: string, hint: string): MeshflError =>
    new MeshflError('EVAL_GATE_UNKNOWN', message, { kind: 'usage', hint, data: { gate } })
  if (!ofForeground && index < 0)
    throw unknown(`no class is called "${gate.class}"`, `choose one of: ${[FOREGROUND, ...classNames].join(', ')}`)
  const isOfSurface = index > 0 && choices(SURFACE_METRICS).includes(gate.metric)
  if (isOfSurface)
    throw unknown(`"${gate.metric}" of "${gate.class}" is not measured`, 'give --surface, which measures it')
  throw unknown(
    `"${gate.metric}" of "${gate.class}" cannot have a ${bound}`,
    allowed.length > 0
      ? `choose one of: ${allowed.join(', ')}`
      : `a maximum is for ${choices(SURFACE_METRICS).join(', ')} of a class that is not background, with --surface`,
  )
}
