import { assertNever } from '@meshfl/core'
import { journaled, takeEvaluation, takeResult } from './coordinator-answers.js'
import { Draft } from './coordinator-draft.js'
import { disconnected, heard, joined, leave, revoked, tick } from './coordinator-presence.js'
import { advance, committed, recorded } from './coordinator-rounds.js'
import type { CoordinatorEffect, CoordinatorEvent, CoordinatorState } from './coordinator-state.js'

/** One event through the coordinator: pure, and total whatever comes in whatever order. */
export function coordinatorStep(
  before: CoordinatorState,
  event: CoordinatorEvent,
): { state: CoordinatorState; effects: CoordinatorEffect[] } {
  const draft = new Draft(before, event.at)
  const { state } = draft
  switch (event.type) {
    case 'joined':
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
      if (state.phase === 'recording' && event.round === state.round) recorded(draft)
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
  advance(draft)
  return { state, effects: draft.effects }
}
