import { MeshflError } from '@meshfl/core'
import { z } from 'zod'
import type { CaseMetrics } from './case-metrics.js'
import { meanOf } from './confusion.js'
import { METRICS } from './metrics/registry.js'

/** The class of a gate on the mean over all classes but background. */
export const FOREGROUND = 'foreground'

/** A minimum for the mean over cases of one metric of one class. */
export const GateSchema = z.strictObject({
  /** A class name, or `foreground` (then the metric is `dice`). */
  class: z.string(),
  metric: z.string(),
  min: z.number(),
})
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
export const MinimumOutcomeSchema = z.strictObject({ ...GateSchema.shape, ...Outcome })
export type MinimumOutcome = z.infer<typeof MinimumOutcomeSchema>
export const DropOutcomeSchema = z.strictObject({ ...DropGateSchema.shape, ...Outcome })
export type DropOutcome = z.infer<typeof DropOutcomeSchema>
export const GateOutcomeSchema = z.union([MinimumOutcomeSchema, DropOutcomeSchema])
export type GateOutcome = z.infer<typeof GateOutcomeSchema>

/** The gate that `--min-dice x` asks for: the mean over cases of the foreground Dice. */
export function foregroundGate(min: number): Gate {
  return { class: FOREGROUND, metric: 'dice', min }
}

/**
 * Reads `class:metric=value`. The name of a class may hold colons and equal signs: the last ones count.
 * @throws MeshflError `EVAL_GATE_SYNTAX`
 */
export function parseGate(text: string): Gate {
  const equals = text.lastIndexOf('=')
  const colon = text.lastIndexOf(':', equals)
  const value = text.slice(equals + 1).trim()
  const min = Number(value)
  const gate = { class: text.slice(0, colon).trim(), metric: text.slice(colon + 1, equals).trim(), min }
  if (equals < 0 || colon < 0 || value === '' || !Number.isFinite(min) || gate.class === '' || gate.metric === '') {
    throw new MeshflError('EVAL_GATE_SYNTAX', `"${text}" is no gate`, {
      kind: 'usage',
      hint: 'write it as class:metric=value, for example "grey matter:dice=0.85" or foreground:dice=0.85',
      data: { text },
    })
  }
  return gate
}

/** What every case gave for a gate's class and metric. */
export function gateValue(gate: Pick<Gate, 'class' | 'metric'>, one: CaseMetrics): number | null {
  return gate.class === FOREGROUND ? one.foregroundDice : (one.perClass[gate.class]?.[gate.metric] ?? null)
}

/**
 * Holds the cases against a gate. A mean that cannot be formed fails it; so does a case whose value is undefined although the
 * truth holds the class, for a model that predicts nothing must not pass on the precision of the others.
 * @throws MeshflError `EVAL_GATE_UNKNOWN` for a class or metric that the report does not have
 */
export function judgeGate(gate: Gate, cases: readonly CaseMetrics[], classNames: readonly string[]): MinimumOutcome {
  checkGate(gate, classNames)
  const values = cases.map((one) => gateValue(gate, one))
  const value = meanOf(values)
  const undefinedIn = cases.filter((one, i) => values[i] === null && (one.perClass[gate.class]?.truthMl ?? 0) > 0)
  const failed = (reason: string): MinimumOutcome => ({ ...gate, value, outcome: 'failed', reason })
  const what = `${gate.class} ${gate.metric}`
  if (value === null) return failed(`no case has a value for ${what}`)
  if (undefinedIn.length > 0)
    return failed(
      `${what} is undefined for ${someOf(undefinedIn.map((one) => one.subject))}, where the truth holds the class`,
    )
  const mean = `${what} is ${figureText(value, gate.min)} over ${values.filter((v) => v !== null).length} of ${cases.length} cases`
  return value >= gate.min
    ? { ...gate, value, outcome: 'passed', reason: `${mean}, at least ${gate.min}` }
    : failed(`${mean}, below ${gate.min}`)
}

/** The first subjects, and how many more there are. */
export function someOf(names: readonly string[], most = 3): string {
  return names.slice(0, most).join(', ') + (names.length > most ? ` and ${names.length - most} more` : '')
}

/** Four decimals, or all where those would lie on the other side of the minimum: no 0.8000 is below 0.8. */
function figureText(value: number, min: number): string {
  const text = value.toFixed(4)
  return Number(text) >= min === value >= min ? text : String(value)
}

/**
 * Whether a gate can be held against these classes: asked before hours of scoring.
 * @throws MeshflError `EVAL_GATE_UNKNOWN` for a class or metric that the report will not have
 */
export function checkGate(gate: Gate, classNames: readonly string[]): void {
  const allowed = gate.class === FOREGROUND ? ['dice'] : METRICS.filter((m) => m.better === 'higher').map((m) => m.id)
  const badClass = gate.class !== FOREGROUND && !classNames.includes(gate.class)
  if (!badClass && allowed.includes(gate.metric)) return
  throw new MeshflError(
    'EVAL_GATE_UNKNOWN',
    badClass ? `no class is called "${gate.class}"` : `"${gate.metric}" of "${gate.class}" cannot have a minimum`,
    {
      kind: 'usage',
      hint: badClass
        ? `choose one of: ${[FOREGROUND, ...classNames].join(', ')}`
        : `choose one of: ${allowed.join(', ')}`,
      data: { gate },
    },
  )
}
