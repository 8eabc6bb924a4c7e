import type { Draft } from './coordinator-draft.js'
import { sendTask } from './coordinator-rounds.js'
import type { SiteStep } from './coordinator-state.js'
import { hasShare } from './coordinator-steps.js'
import { busyState, isDrawn, isPending, purposeOf } from './coordinator-view.js'
import type { Work } from './messages.js'
import { advance, newProgress, type Progress, patienceMs } from './progress-clock.js'

/** A site has logged in: for the first time, again, or in place of an older connection. */
export function joined(draft: Draft, site: string, session: string, working: Work | null): void {
  const old = draft.state.sites.get(site)
  if (old?.session && old.session !== session) draft.effects.push({ type: 'drop', session: old.session })
  const before = old?.progress ?? newProgress(draft.at)
  // A hung trainer does not begin to live by a new connection, but by a new process: that one works on nothing.
  const isStalled = before.isStalled && working !== null
  draft.state.sites.set(site, {
    session,
    reach: old?.reach ?? 'suspect',
    lastHeard: draft.at,
    taskSent: 0,
    shown: old?.shown ?? 'joining',
    progress: { ...before, since: draft.at, isPartial: working !== null, isStalled },
  })
  // It may be another process, which gives what can be taken.
  draft.state.refused.delete(site)
  const { phase, round, base } = draft.state
  if (phase === 'done') {
    draft.reach(site, 'online')
    draft.effects.push({ type: 'done', session })
    return
  }
  if (isStalled) return
  draft.reach(site, 'online')
  // Whoever already works on this round stays in it; a newcomer waits for the next one, unless there are too few.
  const isAtWork =
    working?.purpose === 'train' && working.round === round + 1 && working.base === base && hasShare(draft.state, site)
  const isBack = phase === 'training' && isAtWork && isDrawn(draft.state, site)
  if (phase === 'evaluating' || phase === 'comparing' || isBack) draft.state.members.add(site)
  if (!isPending(draft.state, site)) {
    draft.show(site, phase === 'gathering' ? 'online' : 'waiting')
    return
  }
  sendTask(draft, site)
  const { progress } = draft.state.sites.get(site)!
  draft.change(site, { progress: { ...progress, isPartial: working !== null } })
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
 * Anything from a site is a sign of life; only what it has done is progress.
 * @param working what it says that it is at; undefined where the message is a result
 * @param step the last step that it says to have done of that
 */
export function heard(draft: Draft, site: string, session: string, working?: Work | null, step?: SiteStep): void {
  const { state, at } = draft
  const record = state.sites.get(site)
  if (record?.session !== session) return
  const isAtWork = working === undefined || (working?.base === state.base && working.purpose === purposeOf(state))
  let { progress } = record
  if (working === undefined || working === null) {
    if (progress.isStalled) progress = { ...progress, isStalled: false }
  } else if ((isAtWork || progress.isStalled) && working.purpose === 'train' && step && step.step <= step.steps) {
    progress = advance(progress, step.step, step.seconds, at)
    // Told once: whoever says a step again and again, or of another round, fills no log.
    const { loss, ...told } = step
    if (isAtWork && progress !== record.progress && loss !== null)
      draft.tell({ type: 'step', site, round: state.round + 1, ...told, loss })
  }
  draft.change(site, { lastHeard: at, progress })
  if (progress.isStalled) return
  if (record.reach === 'suspect' || record.reach === 'lost') {
    draft.reach(site, 'online')
    draft.show(site, isPending(state, site) ? busyState(state) : 'waiting')
  }
  if (!isAtWork && isPending(state, site) && at - record.taskSent >= state.config.resendMs) sendTask(draft, site, true)
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
  draft.reach(site, reach, reach === 'done' ? undefined : reason)
  if (reach === 'done') draft.effects.push({ type: 'goodbye', site })
  if (reach === 'failed') draft.log('error', `${site}: ${reason}`, site)
}

/** Its operator or ours has thrown a site out; the round that is being closed just now keeps what it gave. */
export function revoked(draft: Draft, site: string): void {
  const record = draft.state.sites.get(site)
  if (!record) return
  if (record.session) draft.effects.push({ type: 'drop', session: record.session })
  draft.reach(site, 'left', 'revoked')
  draft.state.sites.delete(site)
  draft.state.shares.delete(site)
  draft.state.members.delete(site)
  draft.state.evaluations.delete(site)
  draft.state.refused.delete(site)
  if (draft.state.phase !== 'committing') draft.state.results.delete(site)
}

/** Silent sites are suspect, then lost; so are those that ping and do not go on. */
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
    } else if (record.reach === 'online') {
      lookAtProgress(draft, site, record.progress)
    }
  }
}

function lookAtProgress(draft: Draft, site: string, progress: Progress): void {
  const purpose = purposeOf(draft.state)
  if (!purpose || !isPending(draft.state, site)) return
  const idle = draft.at - progress.since
  if (idle < patienceMs(progress, purpose, draft.state.config.progress)) return
  draft.change(site, { progress: { ...progress, isStalled: true } })
  const where = purpose === 'train' && progress.step > 0 ? ` since step ${progress.step}` : ''
  draft.reach(site, 'lost', `no progress${where} for ${Math.round(idle / 1000)} s, though it answers`)
}
