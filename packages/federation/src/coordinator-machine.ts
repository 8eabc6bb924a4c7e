import { assertNever } from '@meshfl/core'
import { journaled, takeEvaluation, takeResult } from './coordinator-answers.js'
import { Draft } from './coordinator-draft.js'
import { disconnected, heard, joined, leave, revoked, tick } from './coordinator-presence.js'
import { advance, committed, end, recorded } from './coordinator-rounds.js'
import type { CoordinatorEffect, CoordinatorEvent, CoordinatorState } from './coordinator-state.js'

/**
 * Events through the coordinator: pure, and total whatever comes in whatever order. Those that came together go through
 * together: with a thousand sites, a step for each would copy their records a thousand times.
 */
export function coordinatorStep(
  before: CoordinatorState,
  ...events: CoordinatorEvent[]
): { state: CoordinatorState; effects: CoordinatorEffect[] } {
  const draft = new Draft(before, events[0]?.at ?? before.phaseSince)
  for (const event of events) take(draft, event)
  advance(draft)
  return { state: draft.state, effects: draft.effects }
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
