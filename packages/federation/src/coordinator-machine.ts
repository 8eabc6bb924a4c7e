import { assertNever, type SiteState } from '@meshfl/core'
import type { CoordinatorEffect, CoordinatorEvent, CoordinatorState, SiteRecord, Told } from './coordinator-state.js'
import {
  busyState,
  findLeftOut,
  hasAnswered,
  isFinal,
  isPending,
  purposeOf,
  reachableSites,
  roundFinished,
  waitingWords,
} from './coordinator-view.js'
import type { Header, Work } from './messages.js'
import { summarize } from './round-summary.js'

/** One event through the coordinator: pure, and total whatever comes in whatever order. */
export function coordinatorStep(
  state: CoordinatorState,
  event: CoordinatorEvent,
): { state: CoordinatorState; effects: CoordinatorEffect[] } {
  const machine = new Machine(state, event.at)
  machine.handle(event)
  return { state: machine.state, effects: machine.effects }
}

type Writable = {
  -readonly [K in keyof CoordinatorState]: CoordinatorState[K] extends ReadonlyMap<infer A, infer B>
    ? Map<A, B>
    : CoordinatorState[K] extends ReadonlySet<infer A>
      ? Set<A>
      : CoordinatorState[K]
}

/** One step's draft of the next state. */
class Machine {
  readonly state: Writable
  readonly effects: CoordinatorEffect[] = []
  readonly #at: number

  constructor(state: CoordinatorState, at: number) {
    this.#at = at
    this.state = {
      ...state,
      sites: new Map(state.sites),
      members: new Set(state.members),
      results: new Map(state.results),
      evaluations: new Map(state.evaluations),
    }
  }

  handle(event: CoordinatorEvent): void {
    switch (event.type) {
      case 'joined':
        this.#joined(event.site, event.session, event.working)
        break
      case 'disconnected':
        for (const [site, record] of this.state.sites) {
          if (record.session !== event.session) continue
          this.#change(site, { session: null })
          if (record.reach === 'online') this.#reach(site, 'suspect', 'the connection is lost')
        }
        break
      case 'heard':
        this.#heard(event.site, event.session, event.working)
        break
      case 'result':
        this.#heard(event.site, event.session)
        this.#result(event)
        break
      case 'evaluation':
        this.#heard(event.site, event.session)
        this.#evaluation(event)
        break
      case 'journaled':
        this.#journaled(event.site, event.round, event.update)
        break
      case 'committed':
        if (this.state.phase === 'committing' && event.round === this.state.round + 1) this.#committed(event.result)
        break
      case 'recorded':
        if (this.state.phase === 'recording' && event.round === this.state.round) this.#recorded()
        break
      case 'bye':
        this.#leave(event.site, event.session, this.state.phase === 'done' ? 'done' : 'left', event.reason)
        break
      case 'failed':
        this.#leave(event.site, event.session, 'failed', event.reason)
        break
      case 'tick':
        this.#tick()
        break
      case 'pause':
      case 'resume':
        if (this.state.paused === (event.type === 'pause')) break
        this.state.paused = event.type === 'pause'
        this.#log('info', event.type === 'pause' ? 'pausing after this round' : 'going on')
        break
      default:
        assertNever(event)
    }
    this.#advance()
  }

  #joined(site: string, session: string, working: Work | null): void {
    const old = this.state.sites.get(site)
    if (old?.session && old.session !== session) this.effects.push({ type: 'drop', session: old.session })
    this.state.sites.set(site, {
      session,
      reach: old?.reach ?? 'suspect',
      lastHeard: this.#at,
      taskSent: 0,
      shown: old?.shown ?? 'joining',
    })
    this.#reach(site, 'online')
    const { phase, round, base } = this.state
    if (phase === 'done') {
      this.effects.push({ type: 'done', session })
      return
    }
    // Whoever already works on this round stays in it; a newcomer waits for the next one, unless there are too few.
    const isAtWork = working?.purpose === 'train' && working.round === round + 1 && working.base === base
    if (phase === 'evaluating' || (phase === 'training' && isAtWork)) this.state.members.add(site)
    if (isPending(this.state, site)) this.#sendTask(site)
    else this.#show(site, phase === 'gathering' ? 'online' : 'waiting')
  }

  #heard(site: string, session: string, working?: Work | null): void {
    const record = this.state.sites.get(site)
    if (record?.session !== session) return
    this.#change(site, { lastHeard: this.#at })
    if (record.reach === 'suspect' || record.reach === 'lost') {
      this.#reach(site, 'online')
      this.#show(site, isPending(this.state, site) ? busyState(this.state) : 'waiting')
    }
    const isAtWork =
      working === undefined || (working?.base === this.state.base && working.purpose === purposeOf(this.state))
    if (!isAtWork && isPending(this.state, site) && this.#at - record.taskSent >= this.state.config.resendMs)
      this.#sendTask(site, true)
  }

  #result(event: Extract<CoordinatorEvent, { type: 'result' }>): void {
    const { site, session, round, base, update, samples, metrics } = event
    const record = this.state.sites.get(site)
    if (record?.session !== session) return
    const ack = (status: Header<'ACK'>['status'], reason?: string): void => {
      this.effects.push({
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
      this.#log('warn', `${site}: its update of round ${round} is refused: ${reason}`, site)
      ack('rejected', reason)
    }
    const { phase } = this.state
    if (round <= this.state.round || phase === 'done') {
      ack('stale', `round ${round} is closed`)
      return
    }
    if (round > this.state.round + 1) {
      reject(`round ${this.state.round + 1} is in progress`)
      return
    }
    if (base !== this.state.base) {
      reject('it was trained from another model')
      return
    }
    const known = this.state.results.get(site)
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
    if (samples < 1) {
      reject('it has no training volumes')
      return
    }
    this.state.members.add(site)
    this.state.results.set(site, { update, samples, metrics, durable: false })
    this.effects.push({ type: 'journal', site, round, update })
  }

  #journaled(site: string, round: number, update: string): void {
    const result = this.state.results.get(site)
    if (!result || result.durable || result.update !== update || round !== this.state.round + 1) return
    this.state.results.set(site, { ...result, durable: true })
    const session = this.state.sites.get(site)?.session
    if (session) {
      this.effects.push({ type: 'ack', session, purpose: 'train', round, base: this.state.base, status: 'accepted' })
      this.#show(site, 'waiting')
    }
    const { loss, dice, seconds } = result.metrics
    const { samples } = result
    if (loss !== null) {
      this.#tell({ type: 'site-trained', site, round, loss, dice, samples, seconds, updateSha256: update })
    }
  }

  #evaluation(event: Extract<CoordinatorEvent, { type: 'evaluation' }>): void {
    const { site, session, round, base, metrics } = event
    if (this.state.sites.get(site)?.session !== session) return
    const due = this.state.phase === 'evaluating' && round === this.state.round && base === this.state.base
    const status = !due ? 'stale' : this.state.evaluations.has(site) ? 'duplicate' : 'accepted'
    this.effects.push({ type: 'ack', session, purpose: 'evaluate', round, base, status })
    if (status !== 'accepted') return
    this.state.members.add(site)
    this.state.evaluations.set(site, metrics)
    this.#show(site, 'waiting')
    const { loss, dice, weight } = metrics
    this.#tell({ type: 'site-evaluated', site, round, loss, dice, cases: weight })
  }

  #committed(result: string): void {
    this.state.round += 1
    this.state.base = result
    const sites = [...this.state.results.keys()].sort()
    this.#tell({
      type: 'update-applied',
      round: this.state.round,
      parametersSha256: result,
      sites,
      leftOut: [...this.state.leftOut],
    })
    this.#enter('evaluating')
    this.state.results.clear()
    this.state.evaluations.clear()
    this.state.members = new Set(reachableSites(this.state))
    this.#sendTasks()
  }

  #recorded(): void {
    const { state } = this
    state.roundMs = [...state.roundMs.slice(-19), this.#at - state.roundSince]
    const isLast = isFinal(state)
    this.#tell(roundFinished(state))
    if (state.best?.round === state.round) this.#tell({ type: 'best', ...state.best })
    this.#enter(isLast ? 'done' : 'gathering')
    state.members.clear()
    if (!isLast) return
    for (const { session } of state.sites.values()) if (session) this.effects.push({ type: 'done', session })
  }

  #leave(site: string, session: string, reach: 'left' | 'failed' | 'done', reason: string): void {
    const record = this.state.sites.get(site)
    if (record?.session !== session) return
    this.effects.push({ type: 'drop', session })
    this.#change(site, { session: null })
    this.#reach(site, reach, reason)
    if (reach === 'failed') this.#log('error', `${site}: ${reason}`, site)
  }

  #tick(): void {
    const { suspectMs, leaseMs } = this.state.config
    for (const [site, record] of this.state.sites) {
      const silent = this.#at - record.lastHeard
      if (record.reach === 'online' && silent >= suspectMs) {
        this.#reach(site, 'suspect', `silent for ${Math.round(silent / 1000)} s`)
      } else if (record.reach === 'suspect' && silent >= leaseMs) {
        if (record.session) this.effects.push({ type: 'drop', session: record.session })
        this.#change(site, { session: null })
        this.#reach(site, 'lost', `silent for ${Math.round(silent / 1000)} s`)
      }
    }
  }

  /** What follows from the state alone. */
  #advance(): void {
    const { state } = this
    if (state.phase === 'gathering') this.#startRound()
    if (state.phase === 'training') {
      this.#fillUp()
      const results = [...state.results.values()]
      const isSettled = results.every(({ durable }) => durable)
      if (isSettled && this.#isPhaseOver(state.results.size, `round ${state.round + 1}`)) this.#commit()
    } else if (state.phase === 'evaluating') {
      this.#fillUp()
      if (this.#isPhaseOver(state.evaluations.size, `the evaluation of round ${state.round}`)) this.#record()
    } else if (state.phase === 'done') {
      const open = [...state.sites.values()].some(({ reach }) => reach === 'online' || reach === 'suspect')
      if (!open) this.effects.push({ type: 'finish' })
    }
  }

  #startRound(): void {
    const { state } = this
    if (state.paused) return
    const present = [...state.sites].filter(([site, { session }]) => session !== null || state.results.has(site))
    const missing = state.config.minSites - present.length
    if (missing > 0) {
      const away = [...state.sites.keys()].filter((site) => !present.some(([name]) => name === site)).sort()
      const who = away.length > 0 ? ` (${away.join(', ')})` : ''
      this.#complain(`round ${state.round + 1} waits for ${missing} more of ${state.config.minSites} sites${who}`)
      return
    }
    state.roundSince = this.#at
    this.#enter('training')
    state.members = new Set([...reachableSites(this.state), ...state.results.keys()])
    const sites = [...state.members].sort()
    this.#tell({ type: 'round-started', round: state.round + 1, rounds: state.config.rounds, sites })
    this.#sendTasks()
  }

  /** With too few left in a phase, or too few in time, whoever else is there comes in. */
  #fillUp(): void {
    const { members, sites, config } = this.state
    const isCounted = (site: string): boolean =>
      hasAnswered(this.state, site) || (!this.#isLate() && isPending(this.state, site))
    if ([...members].filter(isCounted).length >= config.minSites) return
    for (const [site, { session }] of sites) {
      if (!session || members.has(site)) continue
      members.add(site)
      if (isPending(this.state, site)) this.#sendTask(site)
    }
  }

  #isLate(): boolean {
    const { config, phaseSince } = this.state
    return config.deadlineMs !== null && this.#at - phaseSince >= config.deadlineMs
  }

  #isPhaseOver(count: number, what: string): boolean {
    const { config, members } = this.state
    const pending = [...members].filter((site) => isPending(this.state, site)).sort()
    const isLate = this.#isLate()
    if (count >= config.minSites) return pending.length === 0 || isLate
    if (isLate || pending.length === 0) this.#complain(waitingWords(this.state, what, count))
    return false
  }

  #commit(): void {
    const { state } = this
    const results = [...state.results].map(([site, { samples, metrics }]) => ({ ...metrics, site, weight: samples }))
    state.trained = summarize(results)
    const sites = [...state.results.keys()].sort()
    const leftOut = findLeftOut(state)
    state.leftOut = leftOut
    if (leftOut.length > 0) {
      const names = leftOut.map(({ site, reason }) => `${site} (${reason})`).join(', ')
      this.#log('warn', `round ${state.round + 1} is closed without ${names}`)
    }
    this.#enter('committing')
    this.effects.push({
      type: 'commit',
      round: state.round + 1,
      base: state.base,
      sites,
      leftOut,
      trained: state.trained,
    })
  }

  #record(): void {
    const { state } = this
    const evaluated = summarize([...state.evaluations.values()])
    const dice = evaluated.dice.foregroundDice
    if (dice !== null && (state.best === null || dice > state.best.foregroundDice)) {
      state.best = { round: state.round, foregroundDice: dice }
    }
    state.evaluated = evaluated
    this.#enter('recording')
    this.effects.push({ type: 'record', round: state.round, evaluated, best: state.best, final: isFinal(this.state) })
  }

  #sendTasks(): void {
    for (const site of [...this.state.members].sort()) if (isPending(this.state, site)) this.#sendTask(site)
  }

  #sendTask(site: string, again = false): void {
    const session = this.state.sites.get(site)?.session
    const purpose = purposeOf(this.state)
    if (!session || !purpose) return
    const round = purpose === 'train' ? this.state.round + 1 : this.state.round
    this.effects.push({
      type: 'task',
      session,
      purpose,
      round,
      attempt: this.state.attempt,
      base: this.state.base,
      again,
    })
    this.#change(site, { taskSent: this.#at })
    this.#show(site, busyState(this.state))
  }

  #enter(phase: CoordinatorState['phase']): void {
    this.state.phase = phase
    this.state.phaseSince = this.#at
    this.state.complaint = ''
  }

  #change(site: string, change: Partial<SiteRecord>): void {
    const record = this.state.sites.get(site)
    if (record) this.state.sites.set(site, { ...record, ...change })
  }

  #reach(site: string, reach: SiteRecord['reach'], reason?: string): void {
    this.#change(site, { reach })
    this.#show(site, reach, reason)
  }

  #show(site: string, shown: SiteState, reason?: string): void {
    if (this.state.sites.get(site)?.shown === shown) return
    this.#change(site, { shown })
    this.#tell({ type: 'site-state', site, state: shown, ...(reason === undefined ? {} : { reason }) })
  }

  #complain(words: string): void {
    if (this.state.complaint === words) return
    this.state.complaint = words
    this.#log('warn', words)
  }

  #log(level: 'info' | 'warn' | 'error', message: string, site?: string): void {
    this.#tell({ type: 'log', level, message, ...(site === undefined ? {} : { site }) })
  }

  #tell(event: Told): void {
    this.effects.push({ type: 'tell', event })
  }
}
