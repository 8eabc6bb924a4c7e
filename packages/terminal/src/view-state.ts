import type { EventOf, MeshflEvent, SiteState } from '@meshfl/core'
import { describeForLog } from './describe-event.js'
import { cleanText } from './text.js'

/** One site as the screen shows it. */
export interface SiteView {
  readonly name: string
  readonly state: SiteState
  readonly reason: string | null
  /** Of the step: 0 before the first. */
  readonly round: number
  readonly step: number
  readonly steps: number
  readonly loss: number | null
  readonly trainDice: number | null
  readonly validDice: number | null
  readonly lastSeenMs: number
  readonly bytesSent: number
  readonly bytesReceived: number
}

/** One finished round; null: no site could say. */
export interface RoundPoint {
  readonly round: number
  readonly trainLoss: number | null
  readonly validLoss: number | null
  readonly trainDice: number | null
  readonly validDice: number | null
}

export interface LogLine {
  readonly timeMs: number
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly text: string
}

/** A task that counts towards a total, with what its rate is reckoned from. */
export interface ProgressView {
  readonly task: string
  readonly done: number
  readonly total: number
  readonly unit: string
  readonly startedMs: number
  readonly startedAt: number
  readonly updatedMs: number
}

/** Everything that is on the screen, whatever the screen's size. Plain data: only reduceView makes a new one. */
export interface ViewState {
  readonly startedMs: number
  readonly run: string | null
  readonly command: string | null
  readonly path: string | null
  readonly engine: string | null
  readonly device: string | null
  /** The round in progress or the last one finished; 0 before the first. */
  readonly round: number
  readonly rounds: number
  readonly roundStartedMs: number | null
  readonly roundFinished: boolean
  /** What the last finished round predicted, and when. */
  readonly timeLeft: { readonly seconds: number; readonly atMs: number } | null
  readonly expectedSites: number
  /** In the natural order of their names: site-2 before site-10. */
  readonly sites: readonly SiteView[]
  readonly history: readonly RoundPoint[]
  readonly best: { readonly round: number; readonly foregroundDice: number } | null
  readonly invites: readonly string[]
  readonly progress: ProgressView | null
  /** The newest last; at most 500. */
  readonly log: readonly LogLine[]
  readonly done: boolean
}

const LOG_LINES = 500
const names = new Intl.Collator('en', { numeric: true })

/** The view of a command that has said nothing yet. */
export function initialView(nowMs: number): ViewState {
  return {
    startedMs: nowMs,
    run: null,
    command: null,
    path: null,
    engine: null,
    device: null,
    round: 0,
    rounds: 0,
    roundStartedMs: null,
    roundFinished: false,
    timeLeft: null,
    expectedSites: 0,
    sites: [],
    history: [],
    best: null,
    invites: [],
    progress: null,
    log: [],
    done: false,
  }
}

/**
 * What the screen shows after an event. Pure; takes events in any order, and holds no number that is not finite.
 * @param nowMs when the event was seen, milliseconds since 1970
 */
export function reduceView(state: ViewState, event: MeshflEvent, nowMs: number): ViewState {
  const next = reduceEvent(state, event, nowMs)
  const line = describeForLog(event, next.rounds)
  if (line === null || line.level === 'debug') return next
  return { ...next, log: [...next.log.slice(1 - LOG_LINES), { timeMs: nowMs, ...line }] }
}

function reduceEvent(state: ViewState, event: MeshflEvent, nowMs: number): ViewState {
  switch (event.type) {
    case 'run-started':
      return startRun(state, event, nowMs)
    case 'site-state': {
      const silent = event.state === 'suspect' || event.state === 'lost'
      return withSite(state, event.site, nowMs, silent ? 'silent' : 'seen', {
        state: event.state,
        reason: event.reason === undefined ? null : cleanText(event.reason),
      })
    }
    case 'round-started': {
      const started = {
        ...state,
        round: event.round,
        rounds: Math.max(event.rounds, 0),
        roundStartedMs: nowMs,
        roundFinished: false,
        progress: null,
      }
      const sites = started.sites.map((site) =>
        event.sites.includes(site.name) ? { ...site, step: 0, steps: 0 } : site,
      )
      return { ...started, sites }
    }
    case 'step':
      return withSite(state, event.site, nowMs, 'seen', {
        state: 'training',
        reason: null,
        round: event.round,
        step: count(event.step),
        steps: count(event.steps),
        loss: finite(event.loss),
      })
    case 'site-trained':
      return withSite(state, event.site, nowMs, 'seen', {
        round: event.round,
        loss: finite(event.loss),
        trainDice: finite(event.dice.foregroundDice),
      })
    case 'site-evaluated':
      return withSite(state, event.site, nowMs, 'seen', { validDice: finite(event.dice.foregroundDice) })
    case 'traffic':
      return withSite(state, event.site, nowMs, 'seen', {
        bytesSent: count(event.bytesSent),
        bytesReceived: count(event.bytesReceived),
      })
    case 'round-finished':
      return finishRound(state, event, nowMs)
    case 'best': {
      const foregroundDice = finite(event.foregroundDice)
      return foregroundDice === null ? state : { ...state, best: { round: event.round, foregroundDice } }
    }
    case 'invite':
      return state.invites.includes(event.invite) ? state : { ...state, invites: [...state.invites, event.invite] }
    case 'progress':
      return { ...state, progress: advance(state.progress, event, nowMs) }
    case 'engine':
      return event.available && state.engine === null
        ? { ...state, engine: cleanText(event.name), device: cleanText(event.device) }
        : state
    case 'done':
      return { ...state, done: true, progress: null, path: cleanText(event.path), best: event.best ?? state.best }
    default:
      return state
  }
}

function startRun(state: ViewState, event: EventOf<'run-started'>, nowMs: number): ViewState {
  const same = state.run === null || state.run === cleanText(event.run)
  const kept = same ? state : { ...initialView(nowMs), log: state.log, invites: state.invites }
  return {
    ...kept,
    run: cleanText(event.run),
    command: cleanText(event.command),
    path: cleanText(event.path),
    engine: cleanText(event.engine),
    device: cleanText(event.device),
    round: event.resumedAtRound ?? kept.round,
    rounds: count(event.rounds),
    expectedSites: count(event.sites),
    done: false,
  }
}

function finishRound(state: ViewState, event: EventOf<'round-finished'>, nowMs: number): ViewState {
  const point: RoundPoint = {
    round: event.round,
    trainLoss: finite(event.trainLoss),
    validLoss: finite(event.validLoss),
    trainDice: finite(event.trainDice?.foregroundDice),
    validDice: finite(event.validDice?.foregroundDice),
  }
  const seconds = finite(event.secondsLeft)
  return {
    ...state,
    round: event.round,
    rounds: count(event.rounds),
    roundFinished: true,
    timeLeft: seconds === null ? null : { seconds: Math.max(0, seconds), atMs: nowMs },
    // A round that is told twice (a run that resumes) replaces what was told before, and all that came after it.
    history: [...state.history.filter((earlier) => earlier.round < event.round), point],
  }
}

function withSite(
  state: ViewState,
  name: string,
  nowMs: number,
  contact: 'seen' | 'silent',
  change: Partial<SiteView>,
): ViewState {
  const clean = cleanText(name)
  const index = state.sites.findIndex((site) => site.name === clean)
  const before: SiteView = state.sites[index] ?? {
    name: clean,
    state: 'online',
    reason: null,
    round: 0,
    step: 0,
    steps: 0,
    loss: null,
    trainDice: null,
    validDice: null,
    lastSeenMs: nowMs,
    bytesSent: 0,
    bytesReceived: 0,
  }
  const after: SiteView = { ...before, ...change, lastSeenMs: contact === 'seen' ? nowMs : before.lastSeenMs }
  const sites =
    index < 0 ? [...state.sites, after].sort((a, b) => names.compare(a.name, b.name)) : state.sites.with(index, after)
  return { ...state, sites }
}

/** Joins a progress event to what is known of its task; a new task, or one that starts over, begins a new rate. */
export function advance(before: ProgressView | null, event: EventOf<'progress'>, nowMs: number): ProgressView {
  const done = count(event.done)
  const total = count(event.total)
  const task = cleanText(event.task)
  const same = before !== null && before.task === task && before.total === total && done >= before.done
  return {
    task,
    done,
    total,
    unit: cleanText(event.unit),
    startedMs: same ? before.startedMs : nowMs,
    startedAt: same ? before.startedAt : done,
    updatedMs: nowMs,
  }
}

function finite(value: number | null | undefined): number | null {
  return value !== null && value !== undefined && Number.isFinite(value) ? value : null
}

function count(value: number): number {
  return Number.isFinite(value) && value > 0 ? value : 0
}
