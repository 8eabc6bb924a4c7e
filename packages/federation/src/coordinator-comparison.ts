import type { CrossScore } from '@meshfl/core'
import type { Draft } from './coordinator-draft.js'
import { sendTasks } from './coordinator-rounds.js'
import type { CoordinatorState } from './coordinator-state.js'
import { placeIn } from './coordinator-steps.js'
import { reachableSites } from './coordinator-view.js'

/** How the global model is called among the sites' own; a site cannot have this name, which is no name of a file. */
export const GLOBAL_MODEL = '(global)'

/** A cross-site comparison, at the end of a run or when the operator asks: one model after the other is scored by all sites. */
export interface Comparison {
  readonly models: readonly { readonly model: string; readonly base: string }[]
  /** The one that is out. */
  readonly index: number
  readonly scores: readonly CrossScore[]
  /** Whether the run ends with it; else it goes on. */
  readonly isLast: boolean
}

/** @param updates hashes of the sites' last models */
export function newComparison(base: string, updates: ReadonlyMap<string, string>, isLast: boolean): Comparison {
  const own = [...updates]
    .map(([model, update]) => ({ model, base: update }))
    .sort((a, b) => (a.model < b.model ? -1 : 1))
  return { models: [{ model: GLOBAL_MODEL, base }, ...own], index: 0, scores: [], isLast }
}

/** The model that the sites score now, and the number of the task that it goes by: after those of all rounds. */
export function underComparison({ comparison, round }: CoordinatorState): { base: string; round: number } | null {
  if (!comparison) return null
  const { models, index } = comparison
  return { base: models[index]!.base, round: round + 1 + index }
}

export function beginComparison(draft: Draft, isLast: boolean): void {
  const { state } = draft
  state.isComparisonDue = false
  state.comparison = newComparison(state.base, state.updates, isLast)
  draft.log('info', `scoring ${state.comparison.models.length} models at every site`)
  sendNext(draft)
}

/** A model is scored: the next one, or the table goes to the disk. */
export function compared(draft: Draft): void {
  const { state } = draft
  const { models, index, scores, isLast } = state.comparison!
  const { model } = models[index]!
  const sites = [...state.evaluations].sort(([a], [b]) => (a < b ? -1 : 1))
  const next = [
    ...scores,
    ...sites.map(([site, { weight, loss, dice }]) => ({ model, site, cases: weight, loss, dice })),
  ]
  if (index + 1 < models.length) {
    state.comparison = { models, index: index + 1, scores: next, isLast }
    sendNext(draft)
    return
  }
  draft.tell({ type: 'cross-site', round: placeIn(draft.state, state.round).round, scores: next })
  if (isLast) {
    draft.enter('recording')
    draft.effects.push({ type: 'compare', scores: next })
    return
  }
  // One that was asked for is told and no more: after a restart it can be asked for again.
  state.comparison = null
  state.members.clear()
  state.evaluations.clear()
  draft.enter('gathering')
}

function sendNext(draft: Draft): void {
  draft.enter('comparing')
  draft.state.evaluations.clear()
  draft.state.members = new Set(reachableSites(draft.state))
  sendTasks(draft)
}
