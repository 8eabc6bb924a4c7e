import { assertNever } from '@meshfl/core'
import type { StepPlace } from './coordinator-steps.js'
import type { Header, Work } from './messages.js'

/** What a coordinator asks for. */
export interface Task extends Work {
  /** With `sync: step`: the round and its step. */
  readonly place?: StepPlace | undefined
  /** The model is scored as it is. */
  readonly asIs?: boolean | undefined
}

export interface SiteMachineState {
  readonly config: { readonly pingMs: number; readonly progressMs: number; readonly resendMs: number }
  readonly isJoined: boolean
  /** What runs, or is being written. */
  readonly work: (Task & { readonly stage: 'running' | 'saving' }) | null
  /** What begins when the work that it replaces has ended. */
  readonly next: Task | null
  /** The last round that was trained: its result and the optimiser after it are on disk. */
  readonly trained: { readonly round: number; readonly base: string; readonly isAnswered: boolean } | null
  /** The last model that was scored: in memory, it can be done again. */
  readonly evaluated: { readonly round: number; readonly base: string; readonly isAnswered: boolean } | null
  readonly sentAt: number
  readonly pingedAt: number
  /** Whether the work has gone on since the last ping. */
  readonly hasProgress: boolean
}

export type SiteEvent = { at: number } & (
  | { type: 'joined' }
  | { type: 'lost' }
  | { type: 'task'; task: Task }
  /** The trainer has finished a task. */
  | { type: 'worked'; work: Work }
  /** The result of a training is on disk. */
  | { type: 'saved'; work: Work }
  /** A task that was to stop has stopped. */
  | { type: 'aborted'; work: Work }
  | { type: 'progress' }
  | { type: 'ack'; work: Work; status: Header<'ACK'>['status']; reason: string | undefined }
  | { type: 'tick' }
)

export type SiteEffect =
  | { type: 'start'; task: Task }
  | { type: 'abort' }
  | { type: 'save'; work: Work }
  | { type: 'send-result'; work: Work }
  | { type: 'ping'; working: Work | null }
  | { type: 'log'; level: 'info' | 'warn' | 'error'; message: string }

/** The state of a site that has trained nothing, or whose disk holds the result of a round. */
export function siteStartState(
  config: SiteMachineState['config'],
  saved: { round: number; base: string } | null,
): SiteMachineState {
  return {
    config,
    isJoined: false,
    work: null,
    next: null,
    trained: saved && { ...saved, isAnswered: false },
    evaluated: null,
    sentAt: Number.NEGATIVE_INFINITY,
    pingedAt: Number.NEGATIVE_INFINITY,
    hasProgress: false,
  }
}

/** What a site says that it is at. */
export function workingOn({ work, trained }: SiteMachineState): Work | null {
  if (work) return { purpose: work.purpose, round: work.round, base: work.base }
  return trained && !trained.isAnswered ? { purpose: 'train', round: trained.round, base: trained.base } : null
}

/** One event through a site: pure, and total whatever comes in whatever order. */
export function siteStep(
  state: SiteMachineState,
  event: SiteEvent,
): { state: SiteMachineState; effects: SiteEffect[] } {
  if (event.type === 'tick' && !isDue(state, event.at)) return { state, effects: [] }
  const machine = new SiteMachine(state, event.at)
  machine.handle(event)
  return { state: machine.state, effects: machine.effects }
}

/** Whether a tick has something to do: thousands of sites of one process tick four times a second. */
function isDue(
  { isJoined, sentAt, pingedAt, hasProgress, config, trained, evaluated }: SiteMachineState,
  at: number,
): boolean {
  if (!isJoined) return false
  if (at - pingedAt >= (hasProgress ? config.progressMs : config.pingMs)) return true
  const isUnanswered = trained?.isAnswered === false || evaluated?.isAnswered === false
  return isUnanswered && at - sentAt >= config.resendMs
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

class SiteMachine {
  readonly state: Writable<SiteMachineState>
  readonly effects: SiteEffect[] = []
  readonly #at: number

  constructor(state: SiteMachineState, at: number) {
    this.#at = at
    this.state = { ...state }
  }

  handle(event: SiteEvent): void {
    const { state } = this
    switch (event.type) {
      case 'joined':
        state.isJoined = true
        state.pingedAt = this.#at
        this.#sendUnanswered()
        break
      case 'lost':
        state.isJoined = false
        break
      case 'task':
        this.#task(event.task)
        break
      case 'worked':
        this.#worked(event.work)
        break
      case 'saved':
        if (state.work?.stage !== 'saving' || !isSame(state.work, event.work)) break
        state.work = null
        state.trained = { round: event.work.round, base: event.work.base, isAnswered: false }
        this.#sendUnanswered()
        this.#startNext()
        break
      case 'aborted':
        if (state.work?.stage !== 'running' || !isSame(state.work, event.work)) break
        state.work = null
        this.#startNext()
        break
      case 'progress':
        state.hasProgress = true
        break
      case 'ack':
        this.#ack(event.work, event.status, event.reason)
        break
      case 'tick':
        if (this.#at - state.sentAt >= state.config.resendMs) this.#sendUnanswered()
        if (this.#at - state.pingedAt >= (state.hasProgress ? state.config.progressMs : state.config.pingMs))
          this.#ping()
        break
      default:
        assertNever(event)
    }
  }

  #task(task: Task): void {
    const { state } = this
    if (!state.isJoined) return
    // A task of a later phase says that what was sent before is answered, or came too late.
    const { trained, evaluated } = state
    if (evaluated && !evaluated.isAnswered && (task.purpose === 'train' || task.round > evaluated.round)) {
      state.evaluated = { ...evaluated, isAnswered: true }
    }
    if (trained && !trained.isAnswered && (task.round > trained.round || task.purpose === 'evaluate')) {
      state.trained = { ...trained, isAnswered: true }
    }
    const done = task.purpose === 'train' ? state.trained : state.evaluated
    if (done && done.round === task.round && done.base === task.base) {
      // Done before, and the answer or the acknowledgement was lost: never done twice.
      const again = { ...done, isAnswered: false }
      if (task.purpose === 'train') state.trained = again
      else state.evaluated = again
      this.#sendUnanswered()
      return
    }
    const replaced = state.next ?? state.work
    if (replaced && isSame(replaced, task)) return
    if (!state.work) {
      this.#start(task)
      return
    }
    const isStopping = state.next !== null
    state.next = task
    if (!isStopping && state.work.stage === 'running') this.effects.push({ type: 'abort' })
  }

  #start(task: Task): void {
    const { trained } = this.state
    if (task.purpose === 'train' && trained && task.round < trained.round) {
      this.effects.push({
        type: 'log',
        level: 'warn',
        message: `the coordinator asks for round ${task.round}, this site has done round ${trained.round} before`,
      })
    }
    this.state.work = { ...task, stage: 'running' }
    this.effects.push({ type: 'start', task })
  }

  #startNext(): void {
    const { next } = this.state
    if (!next) return
    this.state.next = null
    this.#task(next)
  }

  #worked(work: Work): void {
    const { state } = this
    if (state.work?.stage !== 'running' || !isSame(state.work, work)) return
    state.hasProgress = false // the result says it too
    if (work.purpose === 'train') {
      state.work = { ...state.work, stage: 'saving' }
      this.effects.push({ type: 'save', work })
      return
    }
    state.work = null
    state.evaluated = { round: work.round, base: work.base, isAnswered: false }
    this.#sendUnanswered()
    this.#startNext()
  }

  #ack(work: Work, status: Header<'ACK'>['status'], reason: string | undefined): void {
    const { state } = this
    const done = work.purpose === 'train' ? state.trained : state.evaluated
    if (!done || done.isAnswered || done.round !== work.round || done.base !== work.base) return
    if (work.purpose === 'train') state.trained = { ...done, isAnswered: true }
    else state.evaluated = { ...done, isAnswered: true }
    if (status === 'rejected') {
      const message = `the coordinator refuses the result of round ${work.round}: ${reason ?? 'no reason given'}`
      this.effects.push({ type: 'log', level: 'error', message })
    } else if (status === 'stale') {
      const message = `the result of round ${work.round} came too late: ${reason ?? 'the round is closed'}`
      this.effects.push({ type: 'log', level: 'info', message })
    }
  }

  #sendUnanswered(): void {
    const { state } = this
    if (!state.isJoined) return
    for (const [purpose, done] of [
      ['train', state.trained],
      ['evaluate', state.evaluated],
    ] as const) {
      if (!done || done.isAnswered) continue
      state.sentAt = this.#at
      this.effects.push({ type: 'send-result', work: { purpose, round: done.round, base: done.base } })
    }
  }

  #ping(): void {
    if (!this.state.isJoined) return
    this.state.pingedAt = this.#at
    this.state.hasProgress = false
    this.effects.push({ type: 'ping', working: workingOn(this.state) })
  }
}

function isSame(a: Work, b: Work): boolean {
  return a.purpose === b.purpose && a.round === b.round && a.base === b.base
}
