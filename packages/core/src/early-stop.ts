import { z } from 'zod'

/** When to stop before the last round: the validation foreground Dice has not risen for a while. */
export const EarlyStopSchema = z.strictObject({
  /** Rounds without a rise after which the run ends. */
  patience: z.int().min(1),
  /** What counts as a rise: more than this above the last one. */
  minDelta: z.number().min(0).lt(1).default(0),
})
export type EarlyStop = z.infer<typeof EarlyStopSchema>

/** The last rise: its round and what the Dice was then. */
export const RiseSchema = z.strictObject({ round: z.int().min(1), foregroundDice: z.number() })
export type Rise = z.infer<typeof RiseSchema>

/** The last rise after a round's score; a round without a score is none. */
export function riseAfter(last: Rise | null, round: number, score: number | null, minDelta: number): Rise | null {
  if (score === null || (last !== null && !(score > last.foregroundDice + minDelta))) return last
  return { round, foregroundDice: score }
}

/** Whether patience is at its end after a round. Without any score there is nothing to wait for, and the run goes on. */
export function isStagnant(rise: Rise | null, round: number, { patience }: EarlyStop): boolean {
  return rise !== null && round - rise.round >= patience
}
