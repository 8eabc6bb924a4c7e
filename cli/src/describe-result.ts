import type { EventOf } from '@meshfl/core'

export interface RunResult {
  rounds: number
  parametersSha256: string
  best: { round: number; foregroundDice: number } | null
}

/** The result of a run: its JSON line, and the words for a person. */
export function describeResult({ rounds, parametersSha256, best }: RunResult, path: string): [EventOf<'done'>, string] {
  const score = best
    ? `best validation foreground Dice ${best.foregroundDice.toFixed(4)} in round ${best.round}`
    : 'no validation case to score it on'
  // Reports, exports and predictions take the best model, whose hash is another one.
  const isOther = best !== null && best.round !== rounds
  const model = `${isOther ? `of round ${rounds}, which is not the best: ` : ''}model sha256 ${parametersSha256}`
  return [
    { type: 'done', rounds, parametersSha256, best, path },
    `${rounds} ${rounds === 1 ? 'round' : 'rounds'}, ${score}\n${model}\n${path}`,
  ]
}
