import { assertNever } from '@meshfl/core'
import { journaled, refuse, takeEvaluation, takeResult } from './coordinator-answers.js'
import { Draft, type Writable, writableCopy } from './coordinator-draft.js'
import { disconnected, heard, joined, leave, revoked, tick } from './coordinator-presence.js'
import { advance, committed, end, recorded } from './coordinator-rounds.js'
import type { CoordinatorEffect, CoordinatorEvent, CoordinatorState } from './coordinator-state.js'

/** Events through the coordinator: pure, and total whatever comes in whatever order. */
export function coordinatorStep(
  before: CoordinatorState,
  ...events: CoordinatorEvent[]
): { state: CoordinatorState; effects: CoordinatorEffect[] } {
  const state = writableCopy(before)
  return { state, effects: stepInPlace(state, events) }
}

/** `coordinatorStep` on a state that nobody else holds: with thousands of sites, copying their records would take longer. */
export function stepInPlace(state: Writable, events: readonly CoordinatorEvent[]): CoordinatorEffect[] {
  const draft = new Draft(state, events[0]?.at ?? state.phaseSince)
  for (const event of events) take(draft, event)
  advance(draft, !events.every(isAnswer))
  return draft.effects
}

/** What tells of no site that it has come or gone. */
function isAnswer({ type }: CoordinatorEvent): boolean {
  return type === 'result' || type === 'evaluation' || type === 'journaled'
}

function take(draft: Draft, event: CoordinatorEvent): void {
  draft.at = event.at
  const { state } = draft
  switch (event.type) {
    case 'joined':
      if (event.share !== undefined) state.shares.set(event.site, event.share)
      joined(draft, event.site, event.session, event.working)
      break
    case 'disconnected':
      disconnected(draft, event.session)
      break
    case 'heard':
      heard(draft, event.site, event.session, event.working, event.step)
      break
    case 'result':
      heard(draft, event.site, event.session)
      takeResult(draft, event)
      break
    case 'evaluation':
      heard(draft, event.site, event.session)
      takeEvaluation(draft, event)
      break
    case 'refused':
      heard(draft, event.site, event.session)
      refuse(draft, event)
      break
    case 'journaled':
      journaled(draft, event.site, event.round, event.update)
      break
    case 'committed':
      if (state.phase === 'committing' && event.round === state.round + 1) committed(draft, event.result)
      break
    case 'recorded':
      if (state.phase === 'recording' && !state.comparison && event.round === state.round) recorded(draft)
      break
    case 'compared':
      if (state.phase === 'recording' && state.comparison) end(draft)
      break
    case 'bye':
      leave(draft, event.site, event.session, state.phase === 'done' ? 'done' : 'left', event.reason)
      break
    case 'failed':
      leave(draft, event.site, event.session, 'failed', event.reason)
      break
    case 'revoked':
      revoked(draft, event.site)
      break
    case 'compare-asked':
      if (state.config.crossSite) state.isComparisonDue = true
      break
    case 'tick':
      tick(draft)
      break
    case 'pause':
    case 'resume':
      if (state.paused === (event.type === 'pause')) break
      state.paused = event.type === 'pause'
      draft.log('info', event.type === 'pause' ? 'pausing after this round' : 'going on')
      break
    default:
      assertNever(event)
  }
}
