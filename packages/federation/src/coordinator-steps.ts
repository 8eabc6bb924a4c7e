import type { CoordinatorState } from './coordinator-state.js'

/**
 * Where an exchange of tasks and results stands among the rounds. Where weights are exchanged, an exchange is a round. With
 * `sync: step` each step is one, and a round has as many as the site with the most batches; a site whose batches are through
 * sits out the rest of the round.
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

/** Steps of a round: those of the site that has the most. */
export function stepsOfRound({ shares }: CoordinatorState): number {
  return Math.max(1, ...shares.values())
}
