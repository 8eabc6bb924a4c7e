import { setTimeout as sleep } from 'node:timers/promises'
import { MeshflError, type ModelLayout, type StepOptimizer, type Study } from '@meshfl/core'
import { Acknowledgements } from './acknowledgements.js'
import type { Admissions, ApprovedSite, IssuedInvite, Refusal } from './admissions.js'
import type { Approve } from './approvals.js'
import type { ControlFolder } from './control-folder.js'
import type { FederationResult } from './coordinator.js'
import { Commits } from './coordinator-commits.js'
import { type Writable, writableCopy } from './coordinator-draft.js'
import { stepInPlace } from './coordinator-machine.js'
import { CoordinatorSocket } from './coordinator-socket.js'
import { batchesOf, coordinatorStart } from './coordinator-start.js'
import { type CoordinatorEffect, type CoordinatorEvent, startState, type Told } from './coordinator-state.js'
import { placeIn } from './coordinator-steps.js'
import type { CoordinatorStore, JournalEntry, SavedCommit } from './coordinator-store.js'
import type { DerivedFiles } from './derived-files.js'
import { FolderRequests } from './folder-requests.js'
import { Gate } from './gate.js'
import type { Goodbyes } from './goodbyes.js'
import type { Identity } from './identity.js'
import { type KeptUpdates, populationOf } from './kept-updates.js'
import { MemoryGuard } from './memory-guard.js'
import { PROTOCOL_VERSION } from './messages.js'
import { OperatorNotices } from './operator-notices.js'
import type { PatientWrites } from './patient-writes.js'
import { RoundUpdates } from './round-updates.js'
import { SiteMessages } from './site-messages.js'
import { SitesDesk } from './sites-desk.js'
import type { DataKeys } from './study-of-sites.js'
import { TaskMessages } from './task-messages.js'
import type { Timing } from './timing.js'
import { UpdateSlabs } from './update-slabs.js'

export interface CoordinatorRunOptions {
  identity: Identity
  admissions: Admissions
  store: CoordinatorStore
  derived: DerivedFiles
  patience: PatientWrites
  goodbyes: Goodbyes
  runId: string
  study: Study
  studySha256: string
  layout: ModelLayout
  stepOptimizer?: StepOptimizer
  minSites: number
  /** What the model files say of the sites' data. */
  dataKeys(): DataKeys
  approve: Approve
  tell(event: Told): void
  saved: SavedCommit
  journal: readonly JournalEntry[]
  /** Called when nothing is written from here on. */
  giveBack(): void
  /** Where commands on the run's folder ask. */
  control: ControlFolder
  /** Memory that unfinished messages may take; null: as much as there is. */
  floodBytes: number | null
  /** Where the updates of every round are kept, if they are. */
  keptUpdates: KeptUpdates | null
  /** An invite as sites are given it. */
  formatInvite(invite: IssuedInvite): string
  timing: Timing
  /** See `Internals`. */
  checkedAtOnce: number | undefined
  at(point: string): void
}

const MEMORY_LOOK_MS = 200

type WithoutAt<E> = E extends unknown ? Omit<E, 'at'> : never

/** Carries out what the coordinator's state machine decides: sockets, files, averages. It decides nothing itself. */
export class CoordinatorRun {
  readonly finished: Promise<FederationResult>
  readonly #options: CoordinatorRunOptions
  readonly #gate: Gate
  readonly #resolve: (result: FederationResult) => void
  readonly #reject: (error: unknown) => void
  readonly #socket: CoordinatorSocket
  readonly #notices: OperatorNotices
  readonly #commits: Commits
  readonly #tasks: TaskMessages
  readonly #acks: Acknowledgements
  readonly #messages: SiteMessages
  readonly #updates: RoundUpdates
  /** The approved sites when the last round began to close. */
  readonly #counted: { sites: readonly ApprovedSite[] }
  readonly #state: Writable
  /** What came in this turn. */
  #inbox: CoordinatorEvent[] = []
  /** Writes that are under way. */
  readonly #pending = new Set<Promise<void>>()
  readonly #requests: FolderRequests
  #timers: NodeJS.Timeout[] = []
  #stopped: Promise<void> | undefined

  constructor(options: CoordinatorRunOptions) {
    this.#options = options
    const { journal, admissions, runId, timing } = options
    this.#counted = { sites: admissions.sites }
    this.#commits = new Commits({ ...options, admissions: this.#counted, onFailed: (error) => this.#fail(error) })
    this.#updates = new RoundUpdates(journal, new UpdateSlabs(options.layout, options.minSites))
    this.#state = writableCopy(startState(coordinatorStart(options, performance.now())))
    this.#notices = new OperatorNotices({
      tell: options.tell,
      isKnown: (site) => admissions.siteOf(site) !== undefined,
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
      run: runId,
      send: (peer, frames) => this.#socket.send(peer, frames),
      track: (writing) => this.#track(writing),
      onJoined: (site, session, working) =>
        this.dispatch({ type: 'joined', site, session, working, share: this.#shareOf(site) }),
      onClosed: (session) => {
        this.#messages.forget(session)
        this.#tasks.forget(session)
        this.dispatch({ type: 'disconnected', session })
      },
      onMessage: (site, session, message) => this.#messages.receive(site, session, message),
      onTwice: (site) => this.#notices.twins(site),
      onEngineChanged: (site, change) => this.#notices.engineChanged(site, change),
      onRefused: (words, site) => this.#notices.refused(words, site),
      // Whoever was to be let in as the run ended is no reason to say that it did not end well.
      onFailed: (error) => {
        if (!this.#stopped) this.#fail(error)
      },
    })
    const gate = this.#gate
    this.#socket = new CoordinatorSocket({
      ...options,
      gate,
      gone: (peer) => {
        const session = gate.loginOf(peer)
        if (session !== undefined) this.#messages.end(session, () => gate.drop(session))
      },
      onRefused: (words) => this.#notices.refused(words),
      guard: (work) => this.guard(work),
      relief: () => this.#messages.relief,
    })
    const send = gate.send.bind(gate)
    this.#tasks = new TaskMessages({ ...options, commits: this.#commits, send: gate.sendInTurn.bind(gate) })
    this.#acks = new Acknowledgements(timing.resendMs / 2, send, (work) => this.guard(work))
    this.#messages = new SiteMessages({
      ...options,
      notices: this.#notices,
      send,
      offer: (entry) => this.#updates.offer(entry),
      dispatch: (event) => this.dispatch(event),
      guard: (work) => this.guard(work),
    })
    const desk = new SitesDesk({
      admissions,
      format: options.formatInvite,
      running: {
        stateOf: (site) => {
          const record = this.#state.sites.get(site)
          return record?.reach === 'suspect' && record.session === null ? 'away' : record?.reach
        },
        get pending() {
          return gate.pending
        },
        decide: (pending, isApproved) => gate.decide(pending, isApproved),
        withdrawInvite: (id) => gate.withdrawInvite(id),
        expel: (site, refusal, isGone) => this.#expel(site, refusal, isGone),
        compare: () => this.#compare(),
      },
    })
    this.#requests = new FolderRequests(options.control, desk, (words) => this.#notices.refused(words))
  }

  /** Binds the socket and begins; resolves with the endpoint. */
  async open(bind: string, preferredPort: number | undefined): Promise<string> {
    const { admissions, timing } = this.#options
    const endpoint = await this.#socket.open(bind, preferredPort)
    this.#timers = [
      setInterval(() => this.dispatch({ type: 'tick' }), Math.min(250, timing.suspectMs / 4)),
      setInterval(() => this.guard(() => this.#notices.settle()), 1000),
      setInterval(() => this.#socket.probe(), timing.probeMs),
      setInterval(() => this.guard(() => this.#socket.tellTraffic()), timing.pingMs),
      ...(this.#options.floodBytes === null ? [] : [this.#guardMemory(this.#options.floodBytes)]),
    ]
    this.dispatch({ type: 'tick' })
    if (preferredPort !== undefined && !endpoint.endsWith(`:${preferredPort}`) && admissions.sites.length > 0) {
      const words = `listening on ${endpoint}, not on port ${preferredPort} as before: sites look for it there`
      this.#options.tell({ type: 'log', level: 'warn', message: words })
    }
    return endpoint
  }

  /** Begins to answer what commands on the run's folder ask. */
  openDesk(): void {
    this.#timers.push(
      setInterval(() => {
        if (!this.#stopped) this.#run(() => this.#requests.answer())
      }, this.#options.timing.controlMs),
    )
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
    const effects = stepInPlace(this.#state, events)
    this.#updates.settle(this.#state.results)
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

  /** @param farewellMs how long what was said last has until the connections end */
  #close(farewellMs = 0): Promise<void> {
    this.#stopped ??= (async () => {
      for (const timer of this.#timers) clearInterval(timer)
      this.#gate.close()
      this.#messages.close()
      this.#commits.close()
      this.#options.patience.close()
      if (farewellMs > 0) await sleep(farewellMs)
      await this.#socket.close()
      while (this.#pending.size > 0) await Promise.all(this.#pending)
      await this.#commits.settled()
      this.#options.giveBack()
    })()
    return this.#stopped
  }

  #carryOut(effect: CoordinatorEffect): void {
    switch (effect.type) {
      case 'task':
        this.#acks.saidByTask(effect.session)
        this.#tasks.task(effect)
        break
      case 'ack': {
        const { session, ...ack } = effect
        this.#acks.say(session, { v: PROTOCOL_VERSION, ...ack, type: 'ACK' })
        break
      }
      case 'journal':
        this.#run(async () => {
          const entry = this.#updates.of(effect.site)
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
      case 'done':
        this.#tasks.done(effect.session, this.#state)
        break
      case 'goodbye':
        this.#run(() => this.#options.goodbyes.add(effect.site))
        break
      case 'drop':
        this.#gate.drop(effect.session)
        break
      case 'tell':
        this.#notices.tell(effect.event)
        if (effect.event.type === 'round-finished') this.#socket.tellTrafficOf(effect.event.round)
        break
      case 'finish': {
        const { best, base } = this.#state
        const { round } = placeIn(this.#state, this.#state.round)
        this.#notices.end()
        this.#socket.tellTrafficOf(round) // what the comparison and the final model took is part of the run's sum
        const result = { rounds: round, parametersSha256: base, best, model: this.#commits.model }
        this.#close(this.#options.timing.farewellMs).then(() => this.#resolve(result), this.#reject)
        break
      }
    }
  }

  async #commitRound(effect: Extract<CoordinatorEffect, { type: 'commit' }>): Promise<void> {
    const entries = effect.sites.map((site) => this.#updates.of(site)!)
    // What a round is computed from does not change while its updates are written.
    this.#counted.sites = this.#options.admissions.sites
    const { keptUpdates, patience } = this.#options
    const population = populationOf(this.#counted.sites)
    if (keptUpdates) await patience.run('', () => keptUpdates.write(effect.round, entries, population))
    const result = await this.#commits.commitRound(effect, entries)
    if (result === null) return
    this.#updates.clear()
    this.dispatch({ type: 'committed', round: effect.round, result })
  }

  #shareOf(site: string): number {
    return batchesOf(this.#options.study, this.#options.admissions.siteOf(site)!.description)
  }

  /** Ends a site's connection; one that is gone for good takes what is not yet part of a round with it. */
  #expel(site: string, refusal: Refusal, isGone: boolean): void {
    const isClosing = this.#state.phase === 'committing'
    this.#gate.expel(site, refusal)
    if (!isGone) return
    this.dispatch({ type: 'revoked', site })
    if (!isClosing) this.#updates.forget(site)
  }

  /** What the operator hears who asks for the cross-site table. */
  #compare(): string {
    const refuse = (words: string, hint: string): MeshflError =>
      new MeshflError('CROSS_SITE_NOT_POSSIBLE', words, { hint })
    if (!this.#options.study.federation.crossSite)
      throw refuse(
        'the study of this run does not let sites see each other’s models',
        'start a run with --cross-site: a site agrees to it when it joins',
      )
    if (this.#state.phase === 'done')
      throw refuse('the run has ended', 'its cross-site table is in the report: meshfl eval <run>')
    this.dispatch({ type: 'compare-asked' })
    return 'after the round in progress every model is scored at every site; the table is told by the coordinator and is in the report: meshfl eval <run>'
  }

  #guardMemory(limitBytes: number): NodeJS.Timeout {
    const guard = new MemoryGuard({
      limitBytes,
      relieve: () => this.#socket.hangUp(),
      onRelieved: (message) => this.#options.tell({ type: 'log', level: 'warn', message }),
    })
    return setInterval(() => {
      if (!this.#stopped) this.#run(() => guard.look())
    }, MEMORY_LOOK_MS)
  }

  #run(work: () => Promise<void>): void {
    const done = work()
      .catch((error) => this.#fail(error))
      .finally(() => this.#pending.delete(done))
    this.#pending.add(done)
  }

  /** Has the end wait for a write whose failure is told elsewhere. */
  #track(writing: Promise<void>): Promise<void> {
    const done = writing.catch(() => undefined).finally(() => this.#pending.delete(done))
    this.#pending.add(done)
    return writing
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
