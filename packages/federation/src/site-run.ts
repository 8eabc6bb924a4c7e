import {
  bytesOf,
  type EvaluateOutcome,
  type GradientOutcome,
  MeshflError,
  type ModelState,
  modelSha256,
  type SiteDescription,
  type SiteTrainer,
  type StepProgress,
  type TrainOutcome,
} from '@meshfl/core'
import type { FederationResult } from './coordinator.js'
import type { Told } from './coordinator-state.js'
import type { StepPlace } from './coordinator-steps.js'
import {
  decodeJsonBody,
  decodeModelBody,
  decodeVectorBody,
  encodeJsonBody,
  encodeModelBody,
  encodeVectorBody,
  type Message,
  ProtocolError,
} from './frame.js'
import type { Identity } from './identity.js'
import type { Invite } from './invite.js'
import { signUpdate } from './ledger.js'
import { DataKeysSchema, type Header, PROTOCOL_VERSION, type TrainMetrics, type Work } from './messages.js'
import { ownPartOf, withOwnPart } from './own-part.js'
import type { PatientWrites } from './patient-writes.js'
import { reportError } from './reported-error.js'
import type { JoinOptions } from './site.js'
import { type CoordinatorMessage, SiteLink, type Welcome } from './site-link.js'
import {
  type SiteEffect,
  type SiteEvent,
  type SiteMachineState,
  siteStartState,
  siteStep,
  type Task,
  workingOn,
} from './site-machine.js'
import type { Membership, SavedRound, SiteStore } from './site-store.js'
import { STRATEGIES } from './strategies/index.js'
import { localRule } from './strategies/local-rule.js'
import type { Timing } from './timing.js'

export interface SiteRunOptions extends Pick<JoinOptions, 'describe' | 'createTrainer' | 'signal'> {
  invite: Invite
  address: string
  identity: Identity
  store: SiteStore
  patience: PatientWrites
  membership: Membership | null
  tell(event: Told): void
  timing: Timing
  at(point: string): void
}

type WithoutAt<E> = E extends unknown ? Omit<E, 'at'> : never

/** Carries out what the site's state machine decides: connection, trainer, files. It decides nothing itself. */
export class SiteRun {
  readonly #options: SiteRunOptions
  readonly #link: SiteLink
  readonly #result: Promise<FederationResult>
  #resolve!: (result: FederationResult) => void
  #reject!: (error: unknown) => void
  #state: SiteMachineState
  #site = ''
  #welcome: Welcome | undefined
  #description: Promise<SiteDescription> | undefined
  #trainer: Promise<SiteTrainer> | undefined
  /** What tasks came with, by the model's hash: of the task at work and of the next. */
  #received = new Map<string, { model: ModelState; vector?: Float32Array }>()
  #saved: SavedRound | null = null
  #outcome: (TrainOutcome & { metrics: TrainMetrics }) | undefined
  /** Of the task at work, with `sync: step`. */
  #place: StepPlace | undefined
  #evaluation: EvaluateOutcome | undefined
  #progress: StepProgress | undefined
  #working: AbortController | undefined
  /** Ends when the trainer has. */
  #busy: Promise<void> = Promise.resolve()
  #ended = false

  constructor(options: SiteRunOptions) {
    this.#options = options
    this.#result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#state = siteStartState(options.timing, null)
    const { identity, invite, address, membership } = options
    this.#link = new SiteLink({
      identity,
      invite,
      address,
      isMember: membership !== null,
      heartbeat: { intervalMs: options.timing.heartbeatMs, timeoutMs: options.timing.heartbeatTimeoutMs },
      describe: (welcome) => this.#describe(welcome),
      working: () => workingOn(this.#state),
      onEnrolled: (welcome, site) => this.#enrolled(welcome, site),
      onJoined: (welcome, site) => this.#joined(welcome, site),
      onLost: () => {
        this.#tellState('joining', 'the connection is lost')
        this.#dispatch({ type: 'lost' })
      },
      onMessage: (message) => this.#receive(message),
      onFailed: (error) => this.#fail(error),
      log: (level, message) => options.tell({ type: 'log', level, message }),
    })
  }

  /** Runs to the end. Whatever ends it, the connection is closed and the trainer has stopped when this settles. */
  async finish(): Promise<FederationResult> {
    const { signal, timing } = this.#options
    const onAbort = (): void => {
      this.#link.leave('stopped by its operator')
      this.#fail(
        new MeshflError('INTERRUPTED', 'the site was stopped; everything done so far is kept', {
          kind: 'interrupted',
          hint: 'run the same command again: it goes on',
        }),
      )
    }
    const timer = setInterval(
      () => {
        this.#link.tick()
        this.#dispatch({ type: 'tick' })
      },
      Math.min(250, timing.pingMs / 4),
    )
    try {
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()
      else {
        this.#options.patience.begin()
        this.#link.open()
      }
      return await this.#result
    } finally {
      this.#ended = true
      clearInterval(timer)
      signal.removeEventListener('abort', onAbort)
      this.#working?.abort()
      this.#options.patience.close()
      await Promise.all([this.#link.close(), this.#busy])
      await this.#options.store.close()
    }
  }

  #describe(welcome: Welcome): Promise<SiteDescription> {
    // The study of a coordinator does not change; its dataset is looked at once.
    this.#description ??= (async () => {
      const description = await this.#options.describe(welcome.study)
      this.#saved = await this.#options.store.readRound(welcome.run, welcome.layout)
      this.#state = siteStartState(this.#options.timing, this.#saved)
      return description
    })()
    return this.#description
  }

  async #enrolled(welcome: Welcome, site: string): Promise<void> {
    const { invite, store } = this.#options
    await store.writeMembership({
      format: 'meshfl-membership/1',
      curvePublic: invite.curvePublic.toString('base64url'),
      signingPublic: invite.signingPublic.toString('base64url'),
      run: welcome.run,
      site,
    })
    this.#options.at('enrolled')
    this.#options.tell({ type: 'log', level: 'info', message: `${site} is approved`, site })
  }

  #joined(welcome: Welcome, site: string): void {
    this.#welcome = welcome
    this.#site = site
    this.#trainer ??= this.#options.createTrainer(welcome.study, welcome.layout.sha256)
    this.#trainer.catch((error) => this.#failed('prepare', error))
    this.#tellState('online')
    this.#dispatch({ type: 'joined' })
  }

  #receive({ header, bodies }: Message<CoordinatorMessage>): void {
    switch (header.type) {
      case 'TASK': {
        const { purpose, round, base, rounds, attempt, place, asIs } = header
        if (header.run !== this.#welcome?.run) throw new ProtocolError('a task of another run')
        if (!this.#received.has(base)) {
          // Two are in use at most: whoever sends more models than tasks that can be done gets no more memory for it.
          for (const known of this.#received.keys()) if (!this.#isInUse(known)) this.#received.delete(known)
          if (bodies[0]!.length === 0) throw new ProtocolError('a task without its model') // it comes with the next one
          this.#received.set(base, { model: decodeModelBody(this.#welcome.layout, bodies[0]!, base) })
        }
        if (header.vectorSha256 !== undefined)
          this.#received.get(base)!.vector = decodeVectorBody(bodies[1]!, header.vectorSha256)
        else if (purpose === 'train' && STRATEGIES[this.#welcome.study.federation.strategy].taskVector)
          throw new ProtocolError('a task without its vector')
        this.#dispatch({ type: 'task', task: { purpose, round, base, rounds, attempt, place, asIs } })
        break
      }
      case 'ACK': {
        const { purpose, round, base, status, reason } = header
        this.#dispatch({ type: 'ack', work: { purpose, round, base }, status, reason })
        break
      }
      case 'PONG':
        break
      case 'DONE':
        this.#done(header, bodies).catch((error) => this.#fail(error))
        break
    }
  }

  #isInUse(base: string): boolean {
    const { work, next, evaluated, trained } = this.#state
    return [work, next, evaluated, trained].some((item) => item?.base === base)
  }

  async #done({ run, rounds, result, best }: Header<'DONE'>, bodies: Uint8Array[]): Promise<void> {
    const { run: ownRun, layout } = this.#welcome!
    if (run !== ownRun) throw new ProtocolError('the end of another run')
    const outcome = { rounds, parametersSha256: result, best, model: decodeModelBody(layout, bodies[0]!, result) }
    const keys = decodeJsonBody(DataKeysSchema, bodies[1]!)
    const part = ownPartOf(this.#welcome!.study.federation)
    if (part !== 'nothing') {
      const own = withOwnPart(layout, outcome.model, this.#saved?.model ?? null, part)
      await this.#options.store.writeOwnModel(this.#welcome!, keys, rounds, own)
    }
    await this.#options.store.writeFinished(this.#welcome!, keys, outcome)
    this.#options.at('finished written')
    this.#link.leave('done')
    this.#tellTraffic()
    this.#tellState('done')
    this.#resolve(outcome)
  }

  #dispatch(event: WithoutAt<SiteEvent>): void {
    if (this.#ended) return
    try {
      const { state, effects } = siteStep(this.#state, { ...event, at: performance.now() } as SiteEvent)
      this.#state = state
      for (const effect of effects) {
        if (effect.type !== 'log') this.#options.at(`before ${effect.type}`)
        this.#carryOut(effect)
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  #carryOut(effect: SiteEffect): void {
    switch (effect.type) {
      case 'start':
        this.#busy = this.#start(effect.task).catch((error) => this.#fail(error))
        break
      case 'abort':
        this.#working?.abort()
        break
      case 'save':
        this.#save(effect.work).catch((error) => this.#fail(error))
        break
      case 'send-result':
        this.#sendResult(effect.work)
        break
      case 'ping': {
        const { working } = effect
        const progress = working?.purpose === 'train' && this.#progress ? { progress: this.#progress } : {}
        this.#link.send({ v: PROTOCOL_VERSION, type: 'PING', working, ...progress })
        this.#tellTraffic()
        break
      }
      case 'log':
        this.#options.tell({ type: 'log', level: effect.level, message: effect.message, site: this.#site })
        break
    }
  }

  async #start({ purpose, round, rounds, base, place, asIs }: Task): Promise<void> {
    this.#place = place
    const shown = place?.round ?? round
    const work = { purpose, round, base }
    const { model: received, vector } = this.#received.get(base)!
    for (const known of this.#received.keys()) if (known !== base) this.#received.delete(known)
    const { study, layout } = this.#welcome!
    const last = asIs ? null : (this.#saved?.model ?? null)
    const own = purpose === 'train' ? this.#ownBefore(round, base) : last
    const model = withOwnPart(layout, received, own, ownPartOf(study.federation))
    const working = new AbortController()
    this.#working = working
    this.#progress = undefined
    this.#tellState(purpose === 'train' ? 'training' : 'evaluating')
    if (purpose === 'train' && (place?.step ?? 1) === 1) {
      this.#options.tell({ type: 'round-started', round: shown, rounds: study.rounds, sites: [this.#site] })
    }
    try {
      const trainer = await this.#trainer!
      const { signal } = working
      if (purpose === 'evaluate') {
        this.#evaluation = await trainer.evaluate({ round: shown, model, signal })
        const { cases, loss, dice } = this.#evaluation
        if (!signal.aborted && !asIs)
          this.#options.tell({ type: 'site-evaluated', site: this.#site, round: shown, loss, dice, cases })
      } else if (place) {
        if (!trainer.gradient) throw new TypeError('this trainer takes no single steps')
        this.#outcome = asUpdate(await trainer.gradient({ ...place, model, signal }))
      } else {
        const state = this.#stateBefore(round, base)
        const onStep = (progress: StepProgress): void => this.#stepped(work, working, progress)
        const rule = localRule(study.federation, vector, round)
        this.#outcome = await trainer.train({ round, rounds, model, state, rule, signal, onStep })
      }
    } catch (error) {
      if (!working.signal.aborted) return this.#failed(purpose === 'train' ? 'training' : 'evaluation', error)
    }
    if (this.#working === working) this.#working = undefined
    this.#dispatch({ type: working.signal.aborted ? 'aborted' : 'worked', work })
  }

  /** The optimiser that a round begins with: that of the last round; for one that is trained anew, that from before it. */
  #stateBefore(round: number, base: string): Uint8Array | null {
    const saved = this.#saved
    if (!saved) return null
    return saved.round === round && saved.base !== base ? saved.stateBefore : saved.stateAfter
  }

  /** The site's own model that a round begins with, as `#stateBefore`. */
  #ownBefore(round: number, base: string): ModelState | null {
    const saved = this.#saved
    if (!saved) return null
    return saved.round === round && saved.base !== base ? saved.ownBefore : saved.model
  }

  #stepped(work: Work, working: AbortController, progress: StepProgress): void {
    if (working.signal.aborted || this.#ended) return
    this.#progress = progress
    const { loss } = progress
    if (Number.isFinite(loss)) this.#options.tell({ type: 'step', site: this.#site, round: work.round, ...progress })
    this.#dispatch({ type: 'progress' })
  }

  async #save(work: Work): Promise<void> {
    const { model, samples, state, metrics, vector } = this.#outcome!
    const { run, layout, study } = this.#welcome!
    const sent = [model.parameters, model.statistics, ...(vector ? [vector] : [])]
    const notFinite = sent.reduce((sum, values) => sum + countNotFinite(values), 0)
    if (notFinite > 0) {
      const words = `the update of round ${work.round} has ${notFinite} values that are no finite numbers`
      return this.#failed(
        'training',
        new MeshflError('UPDATE_NOT_FINITE', words, { hint: 'lower maxLearningRate; look for corrupt images' }),
      )
    }
    const saved: SavedRound = {
      run,
      round: work.round,
      base: work.base,
      update: modelSha256(model),
      samples,
      metrics,
      model: { parameters: model.parameters.slice(), statistics: model.statistics.slice() },
      ...(vector ? { vector: vector.slice(), vectorSha256: encodeVectorBody(vector).vectorSha256 } : {}),
      ownBefore: ownPartOf(study.federation) === 'nothing' ? null : this.#ownBefore(work.round, work.base),
      stateBefore: this.#stateBefore(work.round, work.base),
      stateAfter: state,
    }
    await this.#options.store.writeRound(layout, saved)
    this.#options.at('result written')
    this.#saved = saved
    const { dice, seconds } = metrics
    const loss = Number.isFinite(metrics.loss) ? metrics.loss : null
    const place = this.#place
    if (place) {
      if (loss !== null) this.#options.tell({ type: 'step', site: this.#site, ...place, loss, seconds })
      this.#dispatch({ type: 'saved', work })
      return
    }
    this.#options.tell({
      type: 'site-trained',
      site: this.#site,
      round: work.round,
      loss,
      dice,
      samples,
      seconds,
      updateSha256: saved.update,
    })
    this.#tellState('waiting')
    this.#dispatch({ type: 'saved', work })
  }

  #sendResult({ purpose, round, base }: Work): void {
    const run = this.#welcome!.run
    const header = {
      v: PROTOCOL_VERSION,
      type: 'RESULT',
      purpose,
      run,
      round,
      attempt: 1,
      site: this.#site,
      base,
    } as const
    if (purpose === 'evaluate') {
      const { cases, loss, dice } = this.#evaluation!
      this.#link.send({ ...header, samples: cases }, [new Uint8Array(), encodeJsonBody({ loss, dice })])
      return
    }
    const { samples, update, vectorSha256, metrics, model, vector } = this.#saved!
    const beside = vectorSha256 === undefined ? {} : { vectorSha256 }
    const claim = { run, round, site: this.#site, base, samples, update, ...beside }
    const updateSignature = signUpdate(this.#options.identity, claim)
    const bodies = [encodeModelBody(model), encodeJsonBody(metrics), ...(vector ? [bytesOf(vector)] : [])]
    this.#link.send({ ...header, samples, update, ...beside, updateSignature }, bodies)
  }

  /** Something went wrong here that the coordinator's operator should see: said, and then the end. */
  #failed(phase: string, error: unknown): void {
    if (this.#ended) return
    const { message, stack } = reportError(error)
    this.#link.send({ v: PROTOCOL_VERSION, type: 'ERROR', phase, message }, [stack])
    this.#fail(error)
  }

  #fail(error: unknown): void {
    this.#reject(error)
  }

  #tellState(state: 'joining' | 'online' | 'training' | 'evaluating' | 'waiting' | 'done', reason?: string): void {
    if (this.#site === '') return
    this.#options.tell({
      type: 'site-state',
      site: this.#site,
      state,
      ...(reason === undefined ? {} : { reason }),
    })
  }

  #tellTraffic(): void {
    const { sent, received } = this.#link.bytes
    this.#options.tell({ type: 'traffic', site: this.#site, bytesSent: sent, bytesReceived: received })
  }
}

/** A step's gradient and batch statistics, laid out as a model: what a RESULT carries with `sync: step`. */
function asUpdate({ gradients, batchStatistics, voxels, samples, metrics }: GradientOutcome) {
  const model = { parameters: gradients, statistics: batchStatistics }
  return { model, samples, state: new Uint8Array(), metrics: { ...metrics, voxels } }
}

function countNotFinite(values: Float32Array): number {
  return values.reduce((count, value) => (Number.isFinite(value) ? count : count + 1), 0)
}
