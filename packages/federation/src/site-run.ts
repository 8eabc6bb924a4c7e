import { MeshflError, type SiteDescription, type SiteTrainer } from '@meshfl/core'
import type { FederationResult } from './coordinator.js'
import type { Told } from './coordinator-state.js'
import { decodeJsonBody, decodeModelBody, type Message, ProtocolError } from './frame.js'
import type { Identity } from './identity.js'
import type { Invite } from './invite.js'
import { DataKeysSchema, type Header, PROTOCOL_VERSION, type Work } from './messages.js'
import { ownPartOf, withOwnPart } from './own-part.js'
import type { PatientWrites } from './patient-writes.js'
import { ReceivedModels } from './received-models.js'
import { reportError } from './reported-error.js'
import { scoresMessage, updateMessage } from './result-message.js'
import { ownBefore, savedRound, stateBefore } from './saved-round.js'
import type { JoinOptions } from './site.js'
import { type CoordinatorMessage, SiteLink } from './site-link.js'
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
import { blameModel } from './spoiled-model.js'
import { TaskRunner } from './task-runner.js'
import type { Timing } from './timing.js'
import type { Welcome } from './welcome.js'

export interface SiteRunOptions extends Pick<JoinOptions, 'describe' | 'createTrainer' | 'signal'> {
  allowsEngineChange: boolean
  invite: Invite
  address: string
  identity: Identity
  store: SiteStore
  /** Whether the identity was approved before. */
  isMember: boolean
  /** What to write down when it is. */
  enrolment: Pick<Membership, 'keys' | 'invites'>
  patience: PatientWrites
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
  #validCases = 0
  #trainer: Promise<SiteTrainer> | undefined
  readonly #received = new ReceivedModels()
  readonly #tasks: TaskRunner
  #saved: SavedRound | null = null
  /** The end of the run, when its model is on disk. */
  #finished: Promise<FederationResult> | undefined
  #goodbye: NodeJS.Timeout | undefined
  #ended = false

  constructor(options: SiteRunOptions) {
    this.#options = options
    this.#result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#state = siteStartState(options.timing, null)
    this.#tasks = new TaskRunner({ tell: options.tell, onProgress: () => this.#dispatch({ type: 'progress' }) })
    const { identity, invite, address, isMember } = options
    this.#link = new SiteLink({
      identity,
      invite,
      address,
      isMember,
      heartbeat: { intervalMs: options.timing.heartbeatMs, timeoutMs: options.timing.heartbeatTimeoutMs },
      describe: (welcome) => this.#describe(welcome),
      working: () => workingOn(this.#state),
      allowsEngineChange: options.allowsEngineChange,
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
      const result = await this.#result
      this.#tellTraffic()
      this.#tellState('done')
      return result
    } finally {
      this.#ended = true
      clearInterval(timer)
      clearTimeout(this.#goodbye)
      signal.removeEventListener('abort', onAbort)
      const stopped = this.#tasks.end()
      this.#options.patience.close()
      await Promise.all([this.#link.close(), stopped])
      await this.#options.store.close()
    }
  }

  #describe(welcome: Welcome): Promise<SiteDescription> {
    // The study of a coordinator does not change; its dataset is looked at once.
    this.#description ??= (async () => {
      const description = await this.#options.describe(welcome.study)
      this.#validCases = description.validCases
      this.#saved = await this.#options.store.readRound(welcome.run, welcome.layout)
      this.#state = siteStartState(this.#options.timing, this.#saved)
      return description
    })()
    return this.#description
  }

  async #enrolled(welcome: Welcome, site: string): Promise<void> {
    const { invite, store, enrolment } = this.#options
    await store.writeMembership({
      format: 'meshfl-membership/2',
      curvePublic: invite.curvePublic.toString('base64url'),
      signingPublic: invite.signingPublic.toString('base64url'),
      run: welcome.run,
      site,
      ...enrolment,
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
        const { purpose, round, base, place, asIs } = header
        this.#received.take(header, bodies, this.#welcome!, (known) => this.#isInUse(known))
        this.#dispatch({ type: 'task', task: { purpose, round, base, place, asIs } })
        break
      }
      case 'ACK': {
        const { purpose, round, base, status, reason } = header
        this.#dispatch({ type: 'ack', work: { purpose, round, base }, status, reason })
        break
      }
      case 'PONG':
        this.#options.at('pong')
        break
      case 'DONE':
        if (header.run !== this.#welcome?.run) throw new ProtocolError('the end of another run')
        this.#finished ??= this.#keepEnd(header, bodies)
        this.#sayGoodbye(this.#finished).catch((error) => this.#fail(error))
        break
      case 'BYE':
        this.#finished?.then(this.#resolve, () => undefined)
        break
    }
  }

  #isInUse(base: string): boolean {
    const { work, next, evaluated, trained } = this.#state
    return [work, next, evaluated, trained].some((item) => item?.base === base)
  }

  async #keepEnd({ rounds, result, best }: Header<'DONE'>, bodies: Uint8Array[]): Promise<FederationResult> {
    const { layout } = this.#welcome!
    const outcome = {
      rounds,
      parametersSha256: result,
      best,
      model: decodeModelBody(layout, bodies[0]!, { expectedSha256: result }),
    }
    const keys = decodeJsonBody(DataKeysSchema, bodies[1]!)
    const part = ownPartOf(this.#welcome!.study.federation)
    if (part !== 'nothing') {
      const own = withOwnPart(layout, outcome.model, this.#saved?.model ?? null, part)
      await this.#options.store.writeOwnModel(this.#welcome!, keys, rounds, own)
    }
    await this.#options.store.writeFinished(this.#welcome!, keys, outcome)
    this.#options.at('finished written')
    return outcome
  }

  /** A goodbye may be lost with its connection: then the coordinator says the end again, and is answered again. */
  async #sayGoodbye(finished: Promise<FederationResult>): Promise<void> {
    const outcome = await finished
    this.#link.leave('done')
    this.#goodbye ??= setTimeout(() => this.#resolve(outcome), this.#options.timing.goodbyeMs)
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
        this.#start(effect.task).catch((error) => this.#fail(error))
        break
      case 'abort':
        this.#tasks.abort()
        break
      case 'save':
        this.#save(effect.work).catch((error) => this.#fail(error))
        break
      case 'send-result':
        this.#sendResult(effect.work)
        break
      case 'ping': {
        const { working } = effect
        const progress = working?.purpose === 'train' ? this.#tasks.progress : undefined
        this.#link.send({ v: PROTOCOL_VERSION, type: 'PING', working, ...(progress ? { progress } : {}) })
        this.#tellTraffic()
        break
      }
      case 'log':
        this.#options.tell({ type: 'log', level: effect.level, message: effect.message, site: this.#site })
        break
    }
  }

  async #start(task: Task): Promise<void> {
    const { purpose, round, base, place, asIs } = task
    const { study, layout } = this.#welcome!
    const { model: received, vector } = this.#received.begin(base)
    const last = asIs ? null : (this.#saved?.model ?? null)
    const own = purpose === 'train' ? ownBefore(this.#saved, task) : last
    const model = withOwnPart(layout, received, own, ownPartOf(study.federation))
    this.#tellState(purpose === 'train' ? 'training' : 'evaluating')
    if (purpose === 'train' && (place?.step ?? 1) === 1) {
      const shown = place?.round ?? round
      this.#options.tell({ type: 'round-started', round: shown, rounds: study.rounds, sites: [this.#site] })
    }
    const state = stateBefore(this.#saved, task)
    const input = { site: this.#site, study, validCases: this.#validCases, model, vector, state }
    let isDone: boolean
    try {
      isDone = await this.#tasks.run(task, input, this.#trainer!)
    } catch (error) {
      if (purpose === 'evaluate') return this.#failed('evaluation', error)
      return this.#failed('training', model === own ? error : blameModel(error, task))
    }
    this.#dispatch({ type: isDone ? 'worked' : 'aborted', work: { purpose, round, base } })
  }

  async #save(work: Work): Promise<void> {
    let saved: SavedRound
    try {
      saved = savedRound(work, this.#tasks.outcome!, this.#saved, this.#welcome!)
    } catch (error) {
      return this.#failed('training', error)
    }
    this.#tasks.outcome = undefined // thousands of sites of one process would each hold a model more
    const { metrics, samples } = saved
    await this.#options.store.writeRound(saved)
    this.#options.at('result written')
    this.#saved = saved
    const { dice, seconds } = metrics
    const loss = Number.isFinite(metrics.loss) ? metrics.loss : null
    const { place } = this.#tasks
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

  #sendResult(work: Work): void {
    const { header, bodies } =
      work.purpose === 'evaluate'
        ? scoresMessage(work, this.#tasks.evaluation!)
        : updateMessage(this.#options.identity, this.#site, work, this.#saved!)
    this.#link.send(header, bodies)
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
    this.#options.tell({ type: 'traffic', site: this.#site, ...this.#link.traffic })
  }
}
