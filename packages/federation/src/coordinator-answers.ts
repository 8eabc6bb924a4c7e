import { underComparison } from './coordinator-comparison.js'
import type { Draft } from './coordinator-draft.js'
import type { CoordinatorEvent, CoordinatorState, Result } from './coordinator-state.js'
import { exchangeName, hasShare, placeIn } from './coordinator-steps.js'
import { hasAnswered, isDrawn } from './coordinator-view.js'
import type { Header } from './messages.js'
import { finish } from './progress-clock.js'

/** A site's update of the round in progress, or of another, or a second one. */
export function takeResult(draft: Draft, event: Extract<CoordinatorEvent, { type: 'result' }>): void {
  const { site, session, offer, round, base, update, samples, metrics } = event
  const record = draft.state.sites.get(site)
  if (record?.session !== session) return
  const ack = (status: Header<'ACK'>['status'], reason?: string): void => {
    draft.effects.push({
      type: 'ack',
      session,
      purpose: 'train',
      round,
      base,
      status,
      ...(reason === undefined ? {} : { reason }),
    })
  }
  const reject = (reason: string): void => {
    draft.log('warn', `${site}: its update of round ${round} is refused: ${reason}`, site)
    refuse(draft, { site, session, purpose: 'train', round, base, reason })
  }
  const { phase } = draft.state
  if (round <= draft.state.round || phase === 'done') {
    ack('stale', `round ${round} is closed`)
    return
  }
  if (round > draft.state.round + 1) {
    reject(`${exchangeName(draft.state)} is in progress`)
    return
  }
  if (base !== draft.state.base) {
    reject('it was trained from another model')
    return
  }
  const known = draft.state.results.get(site)
  if (known) {
    if (known.update !== update) {
      reject('another update of this round was accepted already')
      return
    }
    if (known.durable) ack('duplicate')
    return // the acknowledgement follows when it is on disk
  }
  if (phase === 'committing') {
    ack('stale', `round ${round} is being closed`)
    return
  }
  if (phase !== 'training' && phase !== 'gathering') {
    reject('no update is due')
    return
  }
  if (!isDrawn(draft.state, site)) {
    // No fault of the site's: it may have been given the task in place of one that was lost, before a restart.
    ack('stale', `the site is not drawn for ${exchangeName(draft.state)}`)
    return
  }
  if (!hasShare(draft.state, site)) {
    reject('it has no batches left in this round')
    return
  }
  if (samples < 1) {
    reject('it has no training volumes')
    return
  }
  draft.state.members.add(site)
  draft.state.results.set(site, { offer, update, samples, metrics, durable: false })
  draft.change(site, { progress: finish(record.progress, 'train', draft.at, 1000 * metrics.seconds) })
  draft.effects.push({ type: 'journal', site, round, update })
}

/** An update is on disk: only now is it acknowledged. */
export function journaled(draft: Draft, site: string, round: number, update: string): void {
  const result = draft.state.results.get(site)
  if (!result || result.durable || result.update !== update || round !== draft.state.round + 1) return
  accept(draft, site, round, draft.state.base, result)
}

/** @param base what the update was trained from */
export function accept(draft: Draft, site: string, round: number, base: string, result: Result): void {
  draft.state.results.set(site, { ...result, durable: true })
  const session = draft.state.sites.get(site)?.session
  if (session) {
    draft.effects.push({ type: 'ack', session, purpose: 'train', round, base, status: 'accepted' })
    draft.show(site, 'waiting')
  }
  const { loss, dice, seconds } = result.metrics
  const { samples, update } = result
  if (draft.state.config.sync === 'step') {
    if (loss !== null) draft.tell({ type: 'step', site, ...placeIn(draft.state, round), loss, seconds })
    return
  }
  draft.tell({ type: 'site-trained', site, round, loss, dice, samples, seconds, updateSha256: update })
}

/** An answer that cannot be taken. Asked again, the site would give the same one: this phase goes on without it. */
export function refuse(
  draft: Draft,
  { site, session, purpose, round, base, reason }: Omit<Extract<CoordinatorEvent, { type: 'refused' }>, 'type' | 'at'>,
): void {
  if (draft.state.sites.get(site)?.session !== session) return
  draft.effects.push({ type: 'ack', session, purpose, round, base, status: 'rejected', reason })
  if (!isDue(draft.state, purpose, round, base) || hasAnswered(draft.state, site)) return
  draft.state.refused.add(site)
  draft.show(site, 'waiting', `what it gave was refused: ${reason}`)
}

/** Whether an answer to this is what the phase waits for. */
function isDue(state: CoordinatorState, purpose: 'train' | 'evaluate', round: number, base: string): boolean {
  const { phase } = state
  if (purpose === 'train') return phase === 'training' && round === state.round + 1 && base === state.base
  const model = phase === 'comparing' ? underComparison(state) : phase === 'evaluating' ? state : null
  return model !== null && round === model.round && base === model.base
}

/** A site's scores of the model of the last round. */
export function takeEvaluation(draft: Draft, event: Extract<CoordinatorEvent, { type: 'evaluation' }>): void {
  const { site, session, round, base, metrics } = event
  const record = draft.state.sites.get(site)
  if (record?.session !== session) return
  const { phase } = draft.state
  const status = !isDue(draft.state, 'evaluate', round, base)
    ? 'stale'
    : draft.state.evaluations.has(site)
      ? 'duplicate'
      : 'accepted'
  draft.effects.push({ type: 'ack', session, purpose: 'evaluate', round, base, status })
  if (status !== 'accepted') return
  draft.state.members.add(site)
  draft.state.evaluations.set(site, metrics)
  draft.change(site, { progress: finish(record.progress, 'evaluate', draft.at) })
  draft.show(site, 'waiting')
  if (phase === 'comparing') return
  const { loss, dice, weight } = metrics
  draft.tell({ type: 'site-evaluated', site, round: placeIn(draft.state, round).round, loss, dice, cases: weight })
}
