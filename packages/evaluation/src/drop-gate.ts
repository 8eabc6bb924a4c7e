import type { BaselineComparison } from './baseline.js'
import type { CaseMetrics } from './case-metrics.js'
import { type DropGate, type DropOutcome, FOREGROUND, gateValue, someOf } from './gates.js'
import { countText } from './render/format.js'

/** Differences of sums of the same size: what rounding alone may make of a drop. */
const ROUNDING = 1e-9

/** What `--max-drop x` asks for: neither the foreground Dice nor that of any class may be lower than the baseline's by more. */
export function dropGates(classNames: readonly string[], maxDrop: number): DropGate[] {
  return [FOREGROUND, ...classNames.slice(1)].map((name) => ({ class: name, metric: 'dice', maxDrop }))
}

/**
 * Holds a comparison against a gate. Without a case to compare it fails; so does a Dice that is undefined here although the
 * truth holds the class and the baseline has one, for a model that predicts nothing must not pass on the other cases.
 */
export function judgeDrop(gate: DropGate, cases: readonly CaseMetrics[], comparison: BaselineComparison): DropOutcome {
  const found = comparison.differences.find((one) => one.class === gate.class)
  const value = found?.difference ?? null
  const failed = (reason: string): DropOutcome => ({ ...gate, value, outcome: 'failed', reason })
  if (value === null) return failed(`no case has a ${gate.class} dice both here and in the baseline`)
  const before = baselineDice(comparison)
  const undefinedIn = cases.filter(
    (one) =>
      gateValue(gate, one) === null &&
      (one.perClass[gate.class]?.truthMl ?? 0) > 0 &&
      before(gate.class, one.subject) !== null,
  )
  if (undefinedIn.length > 0)
    return failed(`${gate.class} dice is undefined for ${someOf(undefinedIn)}, and was not in the baseline`)
  const { mean, baseline } = found!
  const passes = value >= -gate.maxDrop - ROUNDING
  // Four decimals, or all where those would say that it is within the bound.
  const text4 = Math.abs(value).toFixed(4)
  const amount = passes || Number(text4) > gate.maxDrop ? text4 : String(Math.abs(value))
  const distance = `${amount} ${value < 0 ? 'below' : 'above'} the baseline's ${baseline!.toFixed(4)}`
  const text = `${gate.class} dice is ${mean!.toFixed(4)}, ${distance}, over ${countText(found!.cases, 'case')}`
  return passes
    ? { ...gate, value, outcome: 'passed', reason: `${text}; it may be ${gate.maxDrop} below` }
    : failed(`${text}; it may be ${gate.maxDrop} below at most`)
}

/** A function that gives a case's Dice in the baseline; null where it has none. */
export function baselineDice({ cases }: BaselineComparison): (className: string, subject: string) => number | null {
  const bySubject = new Map(cases.map((one) => [one.subject, one]))
  return (className, subject) => {
    const found = bySubject.get(subject)
    if (!found) return null
    return className === FOREGROUND ? found.foregroundDice : (found.perClass[className] ?? null)
  }
}
