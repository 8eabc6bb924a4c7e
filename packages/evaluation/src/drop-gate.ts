import { someOf } from '@meshfl/core'
import { type BaselineComparison, comparedRows } from './baseline.js'
import { type DropGate, type DropOutcome, FOREGROUND } from './gates.js'
import { countText } from './render/format.js'

/** Differences of sums of the same size: what rounding alone may make of a drop. */
const ROUNDING = 1e-9

/** What `--max-drop x` asks for: neither the foreground Dice nor that of any class may be lower than the baseline's by more. */
export function dropGates(classNames: readonly string[], maxDrop: number): DropGate[] {
  return comparedRows(classNames).map((row) => ({ class: row, metric: 'dice', maxDrop }))
}

/**
 * Holds a comparison against a gate. It fails where no case is in both, or where a case has another truth than in the baseline: then
 * a difference is not the model's. A class that is in no case, here or there, has lost nothing.
 */
export function judgeDrop(gate: DropGate, comparison: BaselineComparison): DropOutcome {
  const { difference, mean, baseline, cases } = comparison.differences.find((one) => one.class === gate.class)!
  const outcome = (passes: boolean, reason: string): DropOutcome => ({
    ...gate,
    value: difference,
    outcome: passes ? 'passed' : 'failed',
    reason,
  })
  const { otherTruth } = comparison
  if (otherTruth.length > 0)
    return outcome(false, `the truth of ${someOf(otherTruth)} is not that of the baseline: score that again`)
  if (difference === null) {
    return gate.class !== FOREGROUND && comparison.cases.length > 0
      ? outcome(true, `no case has any ${gate.class}, here or in the baseline`)
      : outcome(false, `no case has a ${gate.class} dice both here and in the baseline`)
  }
  const passes = difference >= -gate.maxDrop - ROUNDING
  // Four decimals, or all where those would say that it is within the bound.
  const text = Math.abs(difference).toFixed(4)
  const amount = passes || Number(text) > gate.maxDrop ? text : String(Math.abs(difference))
  const where = difference === 0 ? 'equal to' : difference < 0 ? `${amount} below` : `${amount} above`
  return outcome(
    passes,
    `${gate.class} dice is ${mean!.toFixed(4)}, ${where} the baseline's ${baseline!.toFixed(4)}, over ${countText(cases, 'case')}; it may be ${gate.maxDrop} below${passes ? '' : ' at most'}`,
  )
}
