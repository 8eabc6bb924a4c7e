import { someOf } from '@meshfl/core'
import type {
  Baseline,
  CaseMetrics,
  CaseSlices,
  EmptyConvention,
  Gate,
  LeftOut,
  ReportInput,
  SurfaceConvention,
} from '@meshfl/evaluation'

/** Slices are drawn of the worst cases only, so that report.html stays small. */
const CASES_WITH_SLICES = 12

export interface EvaluationOptions {
  empty: EmptyConvention
  /** Measures surfaces, too. */
  surface?: SurfaceConvention | undefined
  gates: readonly Gate[]
  /** An earlier report, to be compared with. */
  baseline?: Baseline | undefined
  /** Gate: how far the Dice may lie below the baseline's. */
  maxDrop?: number | undefined
  signal: AbortSignal
  onCase(done: number, total: number): void
  /** Told at once what the report will note: cases left out, data prepared in another way. */
  onNote(note: string, level: 'warn' | 'error'): void
}

/** What was measured, before the report is written. */
export interface Evaluation {
  input: ReportInput
  slices: CaseSlices[]
  /** Cases that were not scored, with what mends it. */
  leftOut: (LeftOut & { hint?: string | undefined })[]
  /** Where the report goes when nothing else is said. */
  folder: string
  /** The run whose model was scored: it remembers how often. */
  run?: string
}

/**
 * Cases of the baseline that are not to be scored here, where a gate holds the one against the other: what is not there cannot have
 * dropped, and that the gate passed must not be all that a script sees.
 */
export function missingHere(
  { baseline, maxDrop, onNote }: EvaluationOptions,
  subjects: readonly string[],
  notes: string[],
): Evaluation['leftOut'] {
  if (!baseline || maxDrop === undefined) return []
  const here = new Set(subjects)
  const missing = baseline.cases.filter(({ subject }) => !here.has(subject)).map(({ subject }) => subject)
  if (missing.length > 0) {
    const note = `Of the baseline's cases ${someOf(missing)} ${missing.length === 1 ? 'is' : 'are'} not scored here.`
    notes.push(note)
    onNote(note, 'error')
  }
  const hint = 'the baseline has it: score that again without it, or bring it back here'
  const reason = 'the baseline has it, and it is not scored here'
  return missing.map((subject) => ({ subject, why: 'only-in-baseline', reason, hint }))
}

/** Keeps the slices of the cases with the lowest foreground Dice; those of the others are let go at once. */
export function createWorstSlices() {
  const held: { dice: number; slices: CaseSlices }[] = []
  return {
    offer(metrics: CaseMetrics, draw: () => CaseSlices): void {
      const dice = metrics.foregroundDice ?? -1
      if (held.length >= CASES_WITH_SLICES && dice >= held.at(-1)!.dice) return
      held.push({ dice, slices: draw() })
      held.sort((a, b) => a.dice - b.dice)
      held.splice(CASES_WITH_SLICES)
    },
    worst: (): CaseSlices[] => held.map((item) => item.slices),
  }
}
