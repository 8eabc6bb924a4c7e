import type { CoordinatorState } from './coordinator-state.js'

/**
 * Where an exchange of tasks and results stands among the rounds. Where weights are exchanged, an exchange is a round. With
 * `sync: step` each step is one, and a round has as many as the site with the most batches; a site whose batches are through
 * sits out the rest of the round.
 *
 * Where the learning rate stands follows from the steps of a round, so they stay as they were fixed when the first one began. When the
 * site with the most is revoked after that, the steps that nobody else has are passed over: committed without an update, so that
 * they change nothing, and log, ledger and restart know no other kind of round.
 */
export interface StepPlace {
  readonly round: number
  /** From 1. */
  readonly step: number
  readonly steps: number
}

/** @param exchange from 1; 0 is before the first: round 0, all steps of it done */
export function placeOf(exchange: number, steps: number): StepPlace {
  const round = Math.ceil(exchange / steps)
  return { round, step: exchange - (round - 1) * steps, steps }
}

/** The place of an exchange of a run: its round in what people read. */
export function placeIn({ steps }: CoordinatorState, exchange: number): StepPlace {
  return placeOf(exchange, Math.max(1, steps))
}

/** How the exchange in progress is called. */
export function exchangeName(state: CoordinatorState): string {
  const { round, step, steps } = placeIn(state, state.round + 1)
  return state.config.sync === 'step' ? `step ${step}/${steps} of round ${round}` : `round ${round}`
}

/** Whether a site has volumes left for the exchange in progress. */
export function hasShare(state: CoordinatorState, site: string): boolean {
  if (state.config.sync !== 'step') return true
  return (state.shares.get(site) ?? 0) >= placeIn(state, state.round + 1).step
}

/**
 * Whether the exchange in progress is a step that nobody has volumes for. A site that is lost counts: it may come back, or be
 * revoked. With too few sites it is too early to say: one that takes the place of another may have some.
 */
export function isPassedOver(state: CoordinatorState): boolean {
  const { config, sites, round } = state
  if (config.sync !== 'step' || placeIn(state, round + 1).step === 1 || sites.size < config.minSites) return false
  return ![...sites.keys()].some((site) => hasShare(state, site))
}

/** Steps of a round: those of the site that has the most. */
export function stepsOfRound({ shares }: CoordinatorState): number {
  return Math.max(1, ...shares.values())
}
