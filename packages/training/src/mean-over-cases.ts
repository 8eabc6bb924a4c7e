import type { Dice, EvaluateOutcome } from '@meshfl/core'
import { meanOf } from '@meshfl/evaluation'

export interface ScoredCase {
  loss: number
  dice: Dice
}

/**
 * Means over cases: of the loss; of each class's Dice over the cases that have the class; and, as foreground, of the classes from 1
 * on. Null where there is nothing to average.
 */
export function meanOverCases(cases: readonly ScoredCase[], classNames: readonly string[]): EvaluateOutcome {
  const scores = classNames.map((name) =>
    cases.flatMap(({ dice }) => {
      const score = dice.perClass[name] ?? null
      return score === null ? [] : [score]
    }),
  )
  const means = scores.map(meanOf)
  return {
    cases: cases.length,
    loss: meanOf(cases.map(({ loss }) => loss)),
    dice: {
      perClass: Object.fromEntries(classNames.map((name, index) => [name, means[index] ?? null])),
      foregroundDice: meanOf(means.slice(1)),
    },
    casesPerClass: Object.fromEntries(classNames.map((name, index) => [name, scores[index]!.length])),
  }
}
