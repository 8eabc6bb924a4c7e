import type { Dice } from '@meshfl/core'
import type { Result } from './coordinator-state.js'

/** Loss and Dice of one site, and how many cases they are means over. */
export interface SiteMetrics {
  site: string
  weight: number
  loss: number | null
  dice: Dice
  /** Cases that have each class, over which its Dice is a mean; where a site does not tell, it is taken to be over all. */
  casesPerClass?: Readonly<Record<string, number>> | undefined
}

/** Means over all cases of all sites. */
export interface Summary {
  cases: number
  loss: number | null
  dice: Dice
}

/**
 * What one machine has that scores the cases of all sites: the mean loss of the cases; each class's mean Dice over the cases that have
 * it; and, as foreground, the mean of the classes but background. Summed in the order of the sites' names: the same whoever answers first.
 */
export function summarize(sites: readonly SiteMetrics[], background: string): Summary {
  const sorted = [...sites].sort((a, b) => (a.site < b.site ? -1 : a.site > b.site ? 1 : 0))
  const names = [...new Set(sorted.flatMap(({ dice }) => Object.keys(dice.perClass)))]
  const means = names.map((name) =>
    weightedMean(
      sorted.map(({ weight, dice, casesPerClass }) => ({
        weight: casesPerClass?.[name] ?? weight,
        value: dice.perClass[name] ?? null,
      })),
    ),
  )
  const foreground = means.filter((_, i) => names[i] !== background)
  return {
    cases: sorted.reduce((sum, { weight }) => sum + weight, 0),
    loss: weightedMean(sorted.map(({ weight, loss }) => ({ weight, value: loss }))),
    dice: {
      perClass: Object.fromEntries(names.map((name, i) => [name, means[i]!])),
      foregroundDice: weightedMean(foreground.map((value) => ({ weight: 1, value }))),
    },
  }
}

/** Whether the model that a site was sent gave no finite loss on its cases. */
export function isUnscored({ weight, loss }: SiteMetrics): boolean {
  return weight > 0 && loss === null
}

/**
 * The sites' scores of the global model. Where a site has cases and no finite loss, its Dice counts as 0: were it left out, who sends a
 * model that others cannot score would be the only one to say how good it is. Where nobody has a score, the round has none.
 */
export function summarizeScores(sites: readonly SiteMetrics[], background: string): Summary {
  const scored = sites.filter((site) => !isUnscored(site))
  const isScored = scored.some(({ weight }) => weight > 0)
  // A class that no case has, as far as is known, is none that was missed.
  const names = scored.flatMap(({ dice }) => Object.keys(dice.perClass).filter((name) => dice.perClass[name] !== null))
  const nothing: Dice = isScored
    ? { perClass: Object.fromEntries(names.map((name) => [name, 0])), foregroundDice: 0 }
    : { perClass: {}, foregroundDice: null }
  const counted = sites.map((site) => (isUnscored(site) ? { ...site, dice: nothing, casesPerClass: undefined } : site))
  return summarize(counted, background)
}

/** The mean of two summaries, each weighted by its cases: of a round's steps so far and the next one. */
export function joinSummaries(before: Summary | null, next: Summary, background: string): Summary {
  if (!before) return next
  if (next.cases === 0) return before
  const parts = [before, next].map(({ cases, loss, dice }, i) => ({ site: `${i}`, weight: cases, loss, dice }))
  return summarize(parts, background)
}

/** What a site has trained in the steps of a round so far. */
export interface SiteSteps extends Summary {
  seconds: number
  /** Hash of its last update. */
  update: string
}

/** Adds a step's results to those of the steps of the round before it. */
export function addStep(
  before: ReadonlyMap<string, SiteSteps>,
  results: ReadonlyMap<string, Result>,
  background: string,
): Map<string, SiteSteps> {
  const after = new Map(before)
  for (const [site, { samples, update, metrics }] of results) {
    const known = before.get(site)
    const { loss, dice, seconds } = metrics
    const summary = joinSummaries(known ?? null, { cases: samples, loss, dice }, background)
    after.set(site, { ...summary, seconds: (known?.seconds ?? 0) + seconds, update })
  }
  return after
}

/** What has no value does not count; null when nothing has one. */
function weightedMean(parts: readonly { weight: number; value: number | null }[]): number | null {
  let sum = 0
  let total = 0
  for (const { weight, value } of parts) {
    if (value === null || weight === 0) continue
    sum += weight * value
    total += weight
  }
  return total === 0 ? null : sum / total
}
