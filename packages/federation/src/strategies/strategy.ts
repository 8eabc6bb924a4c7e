import type { Federation, ModelLayout, ModelState, StrategyOptions } from '@meshfl/core'
import type { Contribution } from '../aggregate.js'

/** All that a round's model is computed from. */
export interface RoundInput {
  readonly layout: ModelLayout
  /** The global model that the sites trained from. */
  readonly base: ModelState
  /** Sorted by site name, at least one. */
  readonly contributions: readonly Contribution[]
  readonly batchNorm: Federation['batchNorm']
  /** What the study says; the strategy fills its defaults in. */
  readonly options: StrategyOptions
  /** What the strategy returned in the last round; null in the first. */
  readonly state: Uint8Array | null
  /** All approved sites, those that are not in this round too. */
  readonly population: Population
}

/** Sites, sorted by name, and the training volumes that each was approved with. */
export type Population = readonly { readonly site: string; readonly samples: number }[]

export interface RoundOutput {
  model: ModelState
  /** The server's optimiser: written in the same atomic commit as the model. Null where the strategy has none. */
  state: Uint8Array | null
}

/**
 * How updates become the next global model: pure, in float64, rounded to float32 once, and independent of the order of arrival.
 * What a strategy asks of the sites' steps is in `localRule`.
 */
export interface Strategy {
  combine(round: RoundInput): RoundOutput
  /** Why it cannot work with so few updates in a round; null when it can. */
  obstacle?(options: StrategyOptions, updates: number): string | null
  /** What every training task carries beside the model, one float a parameter; the sites answer with as many of their own. */
  taskVector?(state: Uint8Array | null, layout: ModelLayout): Float32Array
}
