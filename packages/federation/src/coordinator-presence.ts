import type { Draft } from './coordinator-draft.js'
import { sendTask } from './coordinator-rounds.js'
import { busyState, isPending, purposeOf } from './coordinator-view.js'
import type { Work } from './messages.js'

/** A site has logged in: for the first time, again, or in place of an older connection. */
export function joined(draft: Draft, site: string, session: string, working: Work | null): void {
  const old = draft.state.sites.get(site)
  if (old?.session && old.session !== session) draft.effects.push({ type: 'drop', session: old.session })
  draft.state.sites.set(site, {
    session,
    reach: old?.reach ?? 'suspect',
    lastHeard: draft.at,
    taskSent: 0,
    shown: old?.shown ?? 'joining',
  })
  draft.reach(site, 'online')
  const { phase, round, base } = draft.state
  if (phase === 'done') {
    draft.effects.push({ type: 'done', session })
    return
  }
  // Whoever already works on this round stays in it; a newcomer waits for the next one, unless there are too few.
  const isAtWork = working?.purpose === 'train' && working.round === round + 1 && working.base === base
  if (phase === 'evaluating' || (phase === 'training' && isAtWork)) draft.state.members.add(site)
  if (isPending(draft.state, site)) sendTask(draft, site)
  else draft.show(site, phase === 'gathering' ? 'online' : 'waiting')
}

/** A connection is gone: the site stays in its round until its lease ends. */
export function disconnected(draft: Draft, session: string): void {
  for (const [site, record] of draft.state.sites) {
    if (record.session !== session) continue
    draft.change(site, { session: null })
    if (record.reach === 'online') draft.reach(site, 'suspect', 'the connection is lost')
  }
}

/**
 * Anything from a site is a sign of life.
 * @param working what it says that it is at; undefined where the message does not say
 */
export function heard(draft: Draft, site: string, session: string, working?: Work | null): void {
  const record = draft.state.sites.get(site)
  if (record?.session !== session) return
  draft.change(site, { lastHeard: draft.at })
  if (record.reach === 'suspect' || record.reach === 'lost') {
    draft.reach(site, 'online')
    draft.show(site, isPending(draft.state, site) ? busyState(draft.state) : 'waiting')
  }
  const isAtWork =
    working === undefined || (working?.base === draft.state.base && working.purpose === purposeOf(draft.state))
  if (!isAtWork && isPending(draft.state, site) && draft.at - record.taskSent >= draft.state.config.resendMs)
    sendTask(draft, site, true)
}

/** A site ends by itself: with the run, before it, or by an error. */
export function leave(
  draft: Draft,
  site: string,
  session: string,
  reach: 'left' | 'failed' | 'done',
  reason: string,
): void {
  const record = draft.state.sites.get(site)
  if (record?.session !== session) return
  draft.effects.push({ type: 'drop', session })
  draft.change(site, { session: null })
  draft.reach(site, reach, reason)
  if (reach === 'failed') draft.log('error', `${site}: ${reason}`, site)
}

/** Silent sites are suspect, then lost. */
export function tick(draft: Draft): void {
  const { suspectMs, leaseMs } = draft.state.config
  for (const [site, record] of draft.state.sites) {
    const silent = draft.at - record.lastHeard
    if (record.reach === 'online' && silent >= suspectMs) {
      draft.reach(site, 'suspect', `silent for ${Math.round(silent / 1000)} s`)
    } else if (record.reach === 'suspect' && silent >= leaseMs) {
      if (record.session) draft.effects.push({ type: 'drop', session: record.session })
      draft.change(site, { session: null })
      draft.reach(site, 'lost', `silent for ${Math.round(silent / 1000)} s`)
    }
  }
}
