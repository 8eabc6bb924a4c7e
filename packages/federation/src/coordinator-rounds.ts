import { riseAfter } from '@meshfl/core'
import { accept } from './coordinator-answers.js'
import { beginComparison, compared, underComparison } from './coordinator-comparison.js'
import type { Draft } from './coordinator-draft.js'
import type { CoordinatorState } from './coordinator-state.js'
import { exchangeName, hasShare, placeIn, stepsOfRound } from './coordinator-steps.js'
import {
  busyState,
  findLeftOut,
  hasAnswered,
  inDrawOrder,
  isAvailable,
  isFinal,
  isPending,
  NOT_SAMPLED,
  purposeOf,
  quorum,
  reachableSites,
  roundFinished,
  roundMembers,
  waitingWords,
} from './coordinator-view.js'
import { begin } from './progress-clock.js'
import { addStep, isUnscored, joinSummaries, summarize, summarizeScores } from './round-summary.js'

/**
 * What follows from the state alone.
 * @param hasMoved whether more came in than answers: whom a phase counts on changes by nothing else
 */
export function advance(draft: Draft, hasMoved: boolean): void {
  const { state } = draft
  if (state.phase === 'gathering') {
    const isBetweenRounds = state.round % Math.max(1, state.steps) === 0
    if (state.isComparisonDue && isBetweenRounds && state.updates.size > 0) beginComparison(draft, false)
    else startRound(draft)
  }
  if (state.phase === 'training') {
    if (hasMoved) fillUp(draft)
    if (isPhaseOver(draft, state.results.size, exchangeName(state))) commit(draft)
  } else if (state.phase === 'evaluating') {
    if (hasMoved) fillUp(draft)
    if (isPhaseOver(draft, state.evaluations.size, `the evaluation of round ${placeIn(state, state.round).round}`))
      record(draft)
  } else if (state.phase === 'comparing') {
    if (hasMoved) fillUp(draft)
    if (isPhaseOver(draft, state.evaluations.size, 'the comparison')) {
      compared(draft)
      if (!draft.state.comparison) startRound(draft)
    }
  } else if (state.phase === 'done') {
    const open = reachableSites(state)
    if (open.length === 0) draft.effects.push({ type: 'finish' })
    else if (draft.at - state.phaseSince >= state.config.resendMs) tellWhoIsAway(draft, open)
  }
}

/** A site that runs comes back within a second or two; what is waited for after that should not look like a run that hangs. */
function tellWhoIsAway(draft: Draft, open: readonly string[]): void {
  const { sites, config } = draft.state
  const away = open.filter((site) => sites.get(site)?.session === null).sort()
  if (away.length === 0) return
  const lease = `${Math.round(config.leaseMs / 1000)} s`
  draft.complain(`the run has ended; for ${lease} it waits for who has not heard of that: ${away.join(', ')}`)
}

/** The new model is on disk: that acknowledges what it was made from, and the sites score it. */
export function committed(draft: Draft, result: string): void {
  const { round, base, results } = draft.state
  for (const [site, known] of results) if (!known.durable) accept(draft, site, round + 1, base, known)
  if (draft.state.config.crossSite) for (const [site, { update }] of results) draft.state.updates.set(site, update)
  draft.state.round += 1
  draft.state.base = result
  const { round: shown, step, steps } = placeIn(draft.state, draft.state.round)
  if (step < steps) {
    draft.enter('gathering')
    draft.state.results.clear()
    draft.state.members.clear()
    return
  }
  // Only a step that was passed over has none.
  if (draft.state.results.size === 0)
    draft.log('warn', `no site had batches for the last of the ${steps} steps of round ${shown}`)
  for (const [site, { cases, loss, dice, seconds, update }] of draft.state.siteSteps ?? [])
    draft.tell({ type: 'site-trained', site, round: shown, loss, dice, samples: cases, seconds, updateSha256: update })
  const sites = [...(draft.state.siteSteps ?? draft.state.results).keys()].sort()
  draft.tell({
    type: 'update-applied',
    round: shown,
    parametersSha256: result,
    sites,
    leftOut: [...draft.state.leftOut],
  })
  draft.enter('evaluating')
  draft.state.results.clear()
  draft.state.evaluations.clear()
  draft.state.members = new Set(reachableSites(draft.state))
  sendTasks(draft)
}

/** The scores are on disk: the next round, or the end. */
export function recorded(draft: Draft): void {
  const { state } = draft
  state.roundMs = [...state.roundMs.slice(-19), draft.at - state.roundSince]
  const isLast = isFinal(state)
  draft.tell(roundFinished(state))
  if (state.best?.round === placeIn(state, state.round).round) draft.tell({ type: 'best', ...state.best })
  state.members.clear()
  if (!isLast) draft.enter('gathering')
  else if (state.config.crossSite && state.updates.size > 0) beginComparison(draft, true)
  else end(draft)
}

/** Everything is on disk: the sites are told. */
export function end(draft: Draft): void {
  const { state } = draft
  draft.enter('done')
  state.members.clear()
  for (const { session } of state.sites.values()) if (session) draft.effects.push({ type: 'done', session })
}

function startRound(draft: Draft): void {
  const { state } = draft
  const isGoingOn = state.round % Math.max(1, state.steps) !== 0
  if (state.paused && !isGoingOn) return
  const { minSites } = state.config
  const isPresent = (site: string): boolean => isAvailable(state, site) || state.results.has(site)
  const missing = minSites - [...state.sites.keys()].filter(isPresent).length
  if (missing > 0) {
    const away = [...state.sites.keys()].filter((site) => !isPresent(site)).sort()
    const names = state.isRunning && away.length > 0 ? ` (${away.join(', ')})` : ''
    const who = minSites === 1 ? 'its site' : `${missing} of ${minSites} sites`
    draft.complain(`${exchangeName(state)} waits for ${who}${names}`)
    return
  }
  state.isRunning = true
  if (!isGoingOn) state.roundSince = draft.at
  if (state.steps === 0) state.steps = stepsOfRound(draft.state)
  draft.enter('training')
  state.members = roundMembers(draft.state)
  const sites = [...state.members].sort()
  const { round } = placeIn(draft.state, state.round + 1)
  if (!isGoingOn) draft.tell({ type: 'round-started', round, rounds: state.config.rounds, sites })
  if (state.config.sampling) draft.log('info', `round ${state.round + 1} samples ${sites.join(', ')}`)
  sendTasks(draft)
}

/** With too few left in a phase, or too few in time, whoever else is there comes in; where sites are drawn, only as many as are missing. */
function fillUp(draft: Draft): void {
  const { members, refused, sites, phase } = draft.state
  const isCounted = (site: string): boolean =>
    hasAnswered(draft.state, site) || (!isLate(draft) && isPending(draft.state, site))
  let missing = needed(draft) - [...members].filter(isCounted).length
  if (missing <= 0) return
  const isSampled = phase === 'training' && draft.state.config.sampling !== undefined
  for (const site of isSampled ? inDrawOrder(draft.state) : sites.keys()) {
    if (members.has(site) || refused.has(site) || !isAvailable(draft.state, site)) continue
    if (phase === 'training' && !hasShare(draft.state, site)) continue
    members.add(site)
    if (isPending(draft.state, site)) sendTask(draft, site)
    missing -= 1
    if (isSampled && missing === 0) return
  }
}

/** Answers without which this phase does not end. */
function needed({ state }: Draft): number {
  return state.phase === 'training' ? quorum(state) : state.config.minSites
}

function isLate(draft: Draft): boolean {
  const { config, phaseSince } = draft.state
  return config.deadlineMs !== null && draft.at - phaseSince >= config.deadlineMs
}

function isPhaseOver(draft: Draft, count: number, what: string): boolean {
  const { state } = draft
  const late = isLate(draft)
  // Most of the time the one that was waited for the last time is still waited for, and nobody else need be looked at.
  if (state.awaited === null || !isPending(state, state.awaited)) state.awaited = lastPending(state)
  if (count >= needed(draft)) return state.awaited === null || late
  if (late || state.awaited === null) draft.complain(waitingWords(state, what, count))
  return false
}

/** The last one: answers come roughly in the order of the tasks, so it is waited for long. */
function lastPending(state: CoordinatorState): string | null {
  let last: string | null = null
  for (const site of state.members) if (isPending(state, site)) last = site
  return last
}

function commit(draft: Draft): void {
  const { state } = draft
  const { background } = state.config
  const results = [...state.results].map(([site, { samples, metrics }]) => ({ ...metrics, site, weight: samples }))
  const { step } = placeIn(draft.state, state.round + 1)
  state.trained = joinSummaries(step > 1 ? state.trained : null, summarize(results, background), background)
  if (state.config.sync === 'step') {
    const before = step === 1 ? new Map() : state.siteSteps
    state.siteSteps = before && addStep(before, state.results, background)
  }
  const sites = [...state.results.keys()].sort()
  const leftOut = findLeftOut(state)
  state.leftOut = leftOut
  const missed = leftOut.filter(({ reason }) => reason !== NOT_SAMPLED)
  if (missed.length > 0) {
    const names = missed.map(({ site, reason }) => `${site} (${reason})`).join(', ')
    draft.log('warn', `${exchangeName(draft.state)} is closed without ${names}`)
  }
  draft.enter('committing')
  // What just came in is kept by the commit itself: two writes one after the other would keep it no better.
  draft.dropJournal()
  draft.effects.push({
    type: 'commit',
    round: state.round + 1,
    steps: state.steps,
    base: state.base,
    sites,
    leftOut,
    trained: state.trained,
  })
}

function record(draft: Draft): void {
  const { state } = draft
  const scores = [...state.evaluations.values()]
  const evaluated = summarizeScores(scores, state.config.background)
  const dice = evaluated.dice.foregroundDice
  const { round } = placeIn(draft.state, state.round)
  const unscored = scores.filter(isUnscored).map(({ site }) => site)
  if (unscored.length > 0)
    draft.log(
      'warn',
      `the model of round ${round} has no finite loss at ${unscored.sort().join(', ')}: its Dice counts as 0 there`,
    )
  if (dice !== null && (state.best === null || dice > state.best.foregroundDice)) {
    state.best = { round, foregroundDice: dice }
  }
  state.evaluated = evaluated
  state.rise = riseAfter(state.rise, round, dice, state.config.earlyStop?.minDelta ?? 0)
  draft.enter('recording')
  const { best, rise } = state
  draft.effects.push({ type: 'record', round: state.round, evaluated, best, rise, final: isFinal(draft.state) })
}

export function sendTasks(draft: Draft): void {
  for (const site of [...draft.state.members].sort()) if (isPending(draft.state, site)) sendTask(draft, site)
}

/** @param again whether the site was sent it before and seems to have lost it */
export function sendTask(draft: Draft, site: string, again = false): void {
  const session = draft.state.sites.get(site)?.session
  const purpose = purposeOf(draft.state)
  if (!session || !purpose) return
  const next = { base: draft.state.base, round: draft.state.round + (purpose === 'train' ? 1 : 0) }
  const isComparing = draft.state.phase === 'comparing'
  const { base, round } = (isComparing && underComparison(draft.state)) || next
  draft.effects.push({
    type: 'task',
    session,
    purpose,
    round,
    base,
    ...(isComparing ? { asIs: true } : {}),
    ...(draft.state.config.sync === 'step' ? { place: placeIn(draft.state, round) } : {}),
    again,
  })
  const record = draft.state.sites.get(site)!
  // Sent again, it is the same task: whoever never begins it has hung.
  draft.change(site, { taskSent: draft.at, ...(again ? {} : { progress: begin(record.progress, draft.at) }) })
  draft.show(site, busyState(draft.state))
}
