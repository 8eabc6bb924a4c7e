import {
  MeshflError,
  type ModelLayout,
  modelSha256,
  type SiteDescription,
  type StepOptimizer,
  type Study,
} from '@meshfl/core'
import type { Admissions } from './admissions.js'
import type { FederationResult } from './coordinator.js'
import { Commits } from './coordinator-commits.js'
import { coordinatorStep } from './coordinator-machine.js'
import {
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
  startState,
  type Told,
} from './coordinator-state.js'
import { placeIn } from './coordinator-steps.js'
import type { CoordinatorStore, JournalEntry, SavedCommit } from './coordinator-store.js'
import type { DerivedFiles } from './derived-files.js'
import { encodeJsonBody, type Message, modelBytes, ProtocolError } from './frame.js'
import { Gate, type SiteMessage } from './gate.js'
import type { Identity } from './identity.js'
import { EvaluationSchema, type Header, PROTOCOL_VERSION } from './messages.js'
import type { PatientWrites } from './patient-writes.js'
import { checkWeight, readScores, readUpdate } from './read-update.js'
import { Refusals } from './refusals.js'
import { isSampled } from './sampling.js'
import type { DataKeys } from './study-of-sites.js'
import type { Timing } from './timing.js'
import { Traffic } from './traffic.js'
import type { RouterTransport } from './transport.js'
import { openRouter } from './zeromq-router.js'

export interface CoordinatorRunOptions {
  identity: Identity
  admissions: Admissions
  store: CoordinatorStore
  derived: DerivedFiles
  patience: PatientWrites
  runId: string
  study: Study
  studySha256: string
  layout: ModelLayout
  stepOptimizer?: StepOptimizer
  minSites: number
  /** What the model files say of the sites' data. */
  dataKeys(): DataKeys
  approve(request: { site: string; fingerprint: string; description: SiteDescription }): Promise<boolean>
  tell(event: Told): void
  saved: SavedCommit
  journal: readonly JournalEntry[]
  lock: { release(): void }
  timing: Timing
  at(point: string): void
}

/** So long an acknowledgement waits for a task to the same site, which makes it needless. */
const ACK_PATIENCE_MS = 50

type WithoutAt<E> = E extends unknown ? Omit<E, 'at'> : never

/** Carries out what the coordinator's state machine decides: sockets, files, averages. It decides nothing itself. */
export class CoordinatorRun {
  readonly finished: Promise<FederationResult>
  readonly #options: CoordinatorRunOptions
  readonly #gate: Gate
  readonly #resolve: (result: FederationResult) => void
  readonly #reject: (error: unknown) => void
  readonly #traffic = new Traffic()
  readonly #refusals = new Refusals()
  readonly #stacks = new Refusals()
  readonly #commits: Commits
  #transport: RouterTransport | undefined
  #state: CoordinatorState
  /** What came in this turn. */
  #inbox: CoordinatorEvent[] = []
  /** Acknowledgements that a task to the same site may make needless, by session. */
  readonly #acks = new Map<string, Header<'ACK'>[]>()
  /** Updates that came in this turn. */
  readonly #offered: JournalEntry[] = []
  /** Updates that were taken, by site: on their way to the journal, or there. */
  #updates = new Map<string, JournalEntry>()
  /** Hash of the model that each session was sent last. */
  readonly #sentModels = new Map<string, string>()
  /** Writes that are under way. */
  readonly #pending = new Set<Promise<void>>()
  #timers: NodeJS.Timeout[] = []
  #stopped: Promise<void> | undefined

  constructor(options: CoordinatorRunOptions) {
    this.#options = options
    const { saved, study, timing, journal, admissions } = options
    this.#commits = new Commits({ ...options, onFailed: (error) => this.#fail(error) })
    this.#updates = new Map(journal.map((entry) => [entry.site, entry]))
    this.#state = startState({
      config: {
        rounds: study.rounds,
        minSites: options.minSites,
        deadlineMs:
          study.federation.roundDeadlineSeconds === undefined ? null : study.federation.roundDeadlineSeconds * 1000,
        targetDice: study.targetDice ?? null,
        earlyStop: study.earlyStop,
        sync: study.federation.sync,
        crossSite: study.federation.crossSite,
        sampling: isSampled(study.federation) ? { seed: study.seed, federation: study.federation } : undefined,
        suspectMs: timing.suspectMs,
        leaseMs: timing.leaseMs,
        resendMs: timing.resendMs,
        progress: { leastMs: timing.stallMs, firstMs: timing.firstStepMs },
      },
      round: saved.commit.round,
      ...(saved.commit.steps === null ? {} : { steps: saved.commit.steps }),
      shares: new Map(admissions.sites.map(({ site, description }) => [site, batchesOf(study, description)])),
      base: modelSha256(saved.model),
      best: saved.commit.best,
      rise: saved.commit.rise,
      recorded: saved.commit.evaluated !== null,
      final: saved.commit.final,
      updates: new Map([...saved.updates].map(([site, model]) => [site, modelSha256(model)])),
      isCompared: saved.commit.compared !== null,
      trained: saved.commit.trained,
      sites: admissions.sites.map(({ site }) => site),
      results: new Map(
        journal.map(({ site, update, samples, metrics }) => [site, { update, samples, metrics, durable: true }]),
      ),
      at: performance.now(),
      doneGraceMs: timing.doneGraceMs,
    })
    let resolve!: (result: FederationResult) => void
    let reject!: (error: unknown) => void
    this.finished = new Promise((yes, no) => {
      resolve = yes
      reject = no
    })
    this.finished.catch(() => undefined) // whoever awaits it still sees the error
    this.#resolve = resolve
    this.#reject = reject
    this.#gate = new Gate({
      ...options,
      run: options.runId,
      send: (peer, frames) => this.#send(peer, frames),
      onJoined: (site, session, working) =>
        this.dispatch({ type: 'joined', site, session, working, share: this.#shareOf(site) }),
      onClosed: (session) => {
        this.#sentModels.delete(session)
        this.dispatch({ type: 'disconnected', session })
      },
      onMessage: (site, peer, message) => this.#receive(site, peer, message),
      onRefused: (words, site) => this.#refused(words, site),
      onFailed: (error) => this.#fail(error),
    })
  }

  /** Binds the socket and begins; resolves with the endpoint. */
  async open(bind: string, preferredPort: number | undefined): Promise<string> {
    const { identity, admissions, layout, timing } = this.#options
    this.#transport = await openRouter({
      heartbeat: { intervalMs: timing.heartbeatMs, timeoutMs: timing.heartbeatTimeoutMs },
      bind,
      ...(preferredPort === undefined ? {} : { preferredPort }),
      identity,
      admits: (key) => admissions.admits(key, new Date()),
      onMessage: (peer, frames) => {
        if (this.#stopped) return
        const site = this.#gate.siteOf(peer)
        if (site) this.#traffic.count(site, 'bytesReceived', frames)
        this.guard(() => this.#gate.receive(peer, frames))
      },
      // What a peer said last (BYE, ERROR) may still wait to be read when it cannot be sent to any more.
      onUnreachable: (peer) => void setTimeout(() => this.guard(() => this.#gate.drop(peer)), 50).unref(),
      onRefused: (address) =>
        this.guard(() => this.#refused(`a connection from ${address} with an unknown key was turned away`)),
      maxMessageBytes: Math.max(1 << 20, 4 * modelBytes(layout)),
    })
    this.#timers = [
      setInterval(() => this.dispatch({ type: 'tick' }), Math.min(250, timing.suspectMs / 4)),
      setInterval(() => this.#probe(), timing.probeMs),
      setInterval(() => this.guard(() => this.#tellTraffic()), timing.pingMs),
    ]
    this.dispatch({ type: 'tick' })
    const { endpoint } = this.#transport
    if (preferredPort !== undefined && !endpoint.endsWith(`:${preferredPort}`) && admissions.sites.length > 0) {
      const words = `listening on ${endpoint}, not on port ${preferredPort} as before: sites look for it there`
      this.#options.tell({ type: 'log', level: 'warn', message: words })
    }
    return endpoint
  }

  /** What comes in one turn of the event loop goes through the machine together, and to the disk with one sync. */
  dispatch(event: WithoutAt<CoordinatorEvent>): void {
    this.#inbox.push({ ...event, at: performance.now() } as CoordinatorEvent)
    if (this.#inbox.length === 1) setImmediate(() => this.guard(() => this.#step()))
  }

  #step(): void {
    const events = this.#inbox
    this.#inbox = []
    if (this.#stopped || events.length === 0) return
    const { state, effects } = coordinatorStep(this.#state, ...events)
    this.#state = state
    // Held only where the machine took it: an update that it refused must not take the place of one that it took.
    for (const entry of this.#offered.splice(0)) {
      const { site, update } = entry
      if (state.results.get(site)?.update === update && !this.#updates.has(site)) this.#updates.set(site, entry)
    }
    for (const effect of effects) {
      if (this.#stopped) return
      if (effect.type !== 'tell') this.#options.at(`before ${effect.type}`)
      this.#carryOut(effect)
    }
  }

  async stop(): Promise<void> {
    this.#reject(
      new MeshflError('INTERRUPTED', 'the coordinator was stopped; everything done so far is kept', {
        kind: 'interrupted',
        hint: 'run the same command again: it goes on',
      }),
    )
    await this.#close()
  }

  #close(): Promise<void> {
    this.#stopped ??= (async () => {
      for (const timer of this.#timers) clearInterval(timer)
      this.#commits.close()
      this.#options.patience.close()
      await this.#transport?.close()
      while (this.#pending.size > 0) await Promise.all(this.#pending)
      await this.#commits.settled()
      this.#options.lock.release() // nothing is written from here on
    })()
    return this.#stopped
  }

  #carryOut(effect: CoordinatorEffect): void {
    const { study, runId, timing, tell } = this.#options
    const v = PROTOCOL_VERSION
    switch (effect.type) {
      case 'task': {
        const { session, purpose, round, attempt, base, again, place, asIs } = effect
        const rounds = study.rounds * (place?.steps ?? 1)
        // A site that scored this model a moment ago has it.
        this.#acks.delete(session) // a later task says that what came before is answered
        const isKnown = this.#sentModels.get(session) === base && !again
        this.#sentModels.set(session, base)
        const leaseSeconds = timing.leaseMs / 1000
        const vector = purpose === 'train' ? this.#commits.vector : undefined
        this.#gate.send(
          session,
          {
            ...{ v, type: 'TASK', purpose, run: runId, round, rounds, attempt, base, leaseSeconds },
            ...(place ? { place } : {}),
            ...(asIs ? { asIs } : {}),
            ...(vector ? { vectorSha256: vector.vectorSha256 } : {}),
          },
          [
            isKnown ? new Uint8Array() : asIs ? this.#commits.bodyOf(base) : this.#commits.modelBody,
            ...(vector ? [vector.body] : []),
          ],
        )
        break
      }
      case 'ack': {
        const { session, ...ack } = effect
        this.#acknowledge(session, { v, ...ack, type: 'ACK' })
        break
      }
      case 'journal':
        this.#run(async () => {
          const entry = this.#updates.get(effect.site)
          if (!entry || entry.update !== effect.update) return
          await this.#options.store.writeJournal(entry)
          this.#options.at('journal written')
          this.dispatch({ ...effect, type: 'journaled' })
        })
        break
      case 'commit':
        this.#run(() => this.#commitRound(effect))
        break
      case 'record':
        this.#run(async () => {
          await this.#commits.recordRound(effect)
          this.dispatch({ type: 'recorded', round: effect.round })
        })
        break
      case 'compare':
        this.#run(async () => {
          await this.#commits.recordComparison(effect.scores)
          this.dispatch({ type: 'compared' })
        })
        break
      case 'done': {
        const { best, base } = this.#state
        const { round } = placeIn(this.#state, this.#state.round)
        this.#gate.send(effect.session, { v, type: 'DONE', run: runId, rounds: round, result: base, best }, [
          this.#commits.modelBody,
          encodeJsonBody(this.#options.dataKeys()),
        ])
        break
      }
      case 'drop':
        this.#gate.drop(effect.session)
        break
      case 'tell':
        tell(effect.event)
        break
      case 'finish': {
        const { best, base } = this.#state
        const { round } = placeIn(this.#state, this.#state.round)
        this.#tellTraffic()
        const result = { rounds: round, parametersSha256: base, best, model: this.#commits.model }
        this.#close().then(() => this.#resolve(result), this.#reject)
        break
      }
    }
  }

  /** An acceptance waits a moment for the task that says it too; what else there is to say is said at once. */
  #acknowledge(session: string, ack: Header<'ACK'>): void {
    if (ack.status !== 'accepted') {
      this.#gate.send(session, ack)
      return
    }
    if (this.#acks.size === 0) setTimeout(() => this.guard(() => this.#sendAcks()), ACK_PATIENCE_MS)
    this.#acks.set(session, [...(this.#acks.get(session) ?? []), ack])
  }

  #sendAcks(): void {
    for (const [session, acks] of this.#acks) for (const ack of acks) this.#gate.send(session, ack)
    this.#acks.clear()
  }

  async #commitRound(effect: Extract<CoordinatorEffect, { type: 'commit' }>): Promise<void> {
    const entries = effect.sites.map((site) => this.#updates.get(site)!)
    const result = await this.#commits.commitRound(effect, entries)
    if (result === null) return
    this.#updates.clear()
    this.dispatch({ type: 'committed', round: effect.round, result })
  }

  #receive(site: string, peer: string, message: Message<SiteMessage>): void {
    const { header, bodies } = message
    switch (header.type) {
      case 'PING': {
        this.#gate.send(peer, { v: PROTOCOL_VERSION, type: 'PONG' })
        const { working, progress } = header
        this.dispatch({ type: 'heard', site, session: peer, working, ...(progress ? { step: progress } : {}) })
        if (working?.purpose !== 'train' || !progress || progress.loss === null) break
        this.#options.tell({ type: 'step', site, round: working.round, ...progress, loss: progress.loss })
        break
      }
      case 'RESULT':
        this.#receiveResult(site, peer, header, bodies)
        break
      case 'ERROR': {
        const stack = Buffer.from(bodies[0]!).toString('utf8')
        for (const message of this.#stacks.say(stack, performance.now()))
          this.#options.tell({ type: 'log', level: 'debug', message, site })
        this.dispatch({ type: 'failed', site, session: peer, reason: `${header.phase}: ${header.message}` })
        break
      }
      case 'BYE':
        this.dispatch({ type: 'bye', site, session: peer, reason: header.reason })
        break
    }
  }

  #receiveResult(site: string, peer: string, header: Header<'RESULT'>, bodies: readonly Uint8Array[]): void {
    const { round, base, purpose, samples } = header
    try {
      if (header.run !== this.#options.runId) throw new ProtocolError('it belongs to another run')
      if (header.site !== site) throw new ProtocolError(`it says that it is of ${header.site}`)
      if (purpose === 'evaluate') {
        const admitted = this.#options.admissions.siteOf(site)!
        const scores = readScores(EvaluationSchema, bodies[1]!, this.#options.study)
        checkWeight('validation cases', samples, admitted.description.validCases)
        const metrics = { ...scores, site, weight: samples }
        this.dispatch({ type: 'evaluation', site, session: peer, round, base, metrics })
        return
      }
      this.#receiveUpdate(site, peer, header, bodies)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      const reason = error.message.slice(0, 1000)
      this.#refused(`${site}: its result of round ${round} was refused: ${reason}`, site)
      this.#gate.send(peer, { v: PROTOCOL_VERSION, type: 'ACK', purpose, round, base, status: 'rejected', reason })
    }
  }

  #receiveUpdate(site: string, peer: string, header: Header<'RESULT'>, bodies: readonly Uint8Array[]): void {
    const { layout, admissions, runId, study } = this.#options
    const entry = readUpdate(header, bodies, { run: runId, admitted: admissions.siteOf(site)!, study, layout })
    const { round, base, update, samples, metrics } = entry
    this.#offered.push(entry)
    this.dispatch({ type: 'result', site, session: peer, round, base, update, samples, metrics })
  }

  #shareOf(site: string): number {
    return batchesOf(this.#options.study, this.#options.admissions.siteOf(site)!.description)
  }

  #send(peer: string, frames: readonly Uint8Array[]): void {
    const site = this.#gate.siteOf(peer)
    if (site) this.#traffic.count(site, 'bytesSent', frames)
    this.#transport?.send(peer, frames)
  }

  /** A peer that is gone cannot be sent to: so a killed site is noticed within one interval. */
  #probe(): void {
    for (const peer of this.#gate.peers) this.#transport?.send(peer, [new Uint8Array()])
  }

  #tellTraffic(): void {
    for (const event of this.#traffic.news()) this.#options.tell(event)
  }

  #refused(message: string, site?: string): void {
    for (const line of this.#refusals.say(message, performance.now()))
      this.#options.tell({ type: 'log', level: 'warn', message: line, ...(site === undefined ? {} : { site }) })
  }

  #run(work: () => Promise<void>): void {
    const done = work()
      .catch((error) => this.#fail(error))
      .finally(() => this.#pending.delete(done))
    this.#pending.add(done)
  }

  /** Runs some work of ours; what it throws ends the run. */
  guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.#reject(error)
    void this.#close()
  }
}

/** Batches that a site has in a round. */
function batchesOf({ recipe }: Study, { trainCases }: SiteDescription): number {
  return recipe.localEpochs * Math.ceil(trainCases / recipe.batchSize)
}
