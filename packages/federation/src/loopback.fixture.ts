import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  canonicalJson,
  createRandom,
  type GradientTask,
  type MeshflEvent,
  type ModelLayout,
  type ModelState,
  type SiteDescription,
  type SiteTrainer,
  type StepOptimizer,
  type Study,
  StudySchema,
  sha256,
  studySha256,
  type TrainTask,
} from '@meshfl/core'
import { type Coordinator, type CoordinatorOptions, type FederationResult, startCoordinator } from './coordinator.js'
import { type JoinOptions, joinFederation } from './site.js'
import type { Internals } from './timing.js'
import { createTinyTrainer, describeTinySite, type TinyTrainerOptions } from './tiny-trainer.js'

/** A small model with one BatchNorm. */
export const LAYOUT: ModelLayout = (() => {
  const parameters = [
    { name: 'model.0.0.weight', shape: [5, 1, 3, 3, 3], offset: 0 },
    { name: 'model.0.1.weight', shape: [5], offset: 135 },
  ]
  const statistics = [
    { name: 'model.0.1.running_mean', shape: [5], offset: 0 },
    { name: 'model.0.1.running_var', shape: [5], offset: 5 },
  ]
  const hash = sha256(canonicalJson({ parameters, statistics }))
  return { parameters, statistics, parameterCount: 140, statisticCount: 10, sha256: hash }
})()

export const DICE = { perClass: { 'white matter': 0.5, 'grey matter': 0.5 }, foregroundDice: 0.5 }

export function randomModel(...scope: (string | number)[]): ModelState {
  const random = createRandom(7, ...scope)
  return {
    parameters: Float32Array.from({ length: LAYOUT.parameterCount }, () => random.normal()),
    statistics: Float32Array.from({ length: LAYOUT.statisticCount }, (_, i) =>
      i < 5 ? random.normal() : 0.1 + random.uniform(),
    ),
  }
}

export interface FakeTrainer extends SiteTrainer {
  /** Rounds in the order in which they were begun. */
  readonly begun: number[]
}

/** The tiny trainer, which also says what it was asked for. */
export function createFakeTrainer(site: string, options: TinyTrainerOptions = {}): FakeTrainer {
  const trainer = createTinyTrainer(site, { delayMs: 2, ...options })
  const begun: number[] = []
  return {
    ...trainer,
    begun,
    train(task: TrainTask) {
      begun.push(task.round)
      return trainer.train(task)
    },
    gradient(task: GradientTask) {
      begun.push(task.round)
      return trainer.gradient!(task)
    },
  }
}

export function describeFake(site: string, change: Partial<SiteDescription> = {}): SiteDescription {
  return { ...describeTinySite(site), trainCases: 20, engine: 'test', ...change }
}

/** Takes steps of plain gradient descent with momentum, so that a step depends on those before it. */
export const TINY_OPTIMIZER: StepOptimizer = {
  step({ parameters, statistics }, { gradients, batchStatistics }, state) {
    const before = state ? new Float64Array(new Uint8Array(state).buffer) : new Float64Array(parameters.length)
    const momentum = before.map((value, i) => 0.5 * value + gradients[i]!)
    return {
      model: {
        parameters: parameters.map((value, i) => value - 0.1 * momentum[i]!),
        statistics: statistics.map((value, i) => 0.9 * value + 0.1 * batchStatistics[i]!),
      },
      state: new Uint8Array(momentum.buffer),
    }
  },
}

/** Writes that wait for nothing and say nothing. */
export const SILENT = { tell: () => undefined, retryMs: 10 }

const FAST = {
  pingMs: 200,
  progressMs: 20,
  suspectMs: 400,
  leaseMs: 1000,
  resendMs: 150,
  probeMs: 30,
  controlMs: 20,
  writeRetryMs: 20,
}

function makeStudy(change: Record<string, unknown> = {}): Study {
  return StudySchema.parse({ rounds: 3, ...change })
}

/** A folder, a coordinator in it and sites beside it, all on loopback sockets. */
export class Loopback {
  readonly folder: string
  readonly study: Study
  readonly events: MeshflEvent[] = []
  readonly siteEvents = new Map<string, MeshflEvent[]>()
  readonly trainers = new Map<string, FakeTrainer>()
  readonly #sites: number
  coordinator!: Coordinator
  readonly #stops: AbortController[] = []
  readonly #joined: Promise<FederationResult>[] = []
  #invites: string[] = []

  constructor(sites: number, study: Record<string, unknown> = {}, folder?: string) {
    this.folder = folder ?? mkdtempSync(join(tmpdir(), 'meshfl-federation-'))
    this.study = makeStudy(study)
    this.#sites = sites
  }

  get run(): string {
    return join(this.folder, 'run')
  }

  siteFolder(site: string): string {
    return join(this.folder, site)
  }

  async start(change: Partial<CoordinatorOptions> = {}, internals: Internals = {}): Promise<Coordinator> {
    const stop = new AbortController()
    this.#stops.push(stop)
    this.coordinator = await startCoordinator(
      {
        folder: this.run,
        bind: 'tcp://127.0.0.1:*',
        study: this.study,
        studySha256: studySha256(this.study),
        layout: LAYOUT,
        initialModel: randomModel('initial'),
        sites: this.#sites,
        approve: async () => true,
        events: (event) => this.events.push(event),
        signal: stop.signal,
        ...change,
      },
      { ...internals, timing: { ...FAST, ...internals.timing } },
    )
    this.#invites = this.coordinator.invites.map(({ invite }) => invite)
    return this.coordinator
  }

  /** The invite that this site came with, or the next one. */
  readonly invites = new Map<string, string>()

  join(
    site: string,
    change: Partial<JoinOptions> & { delayMs?: number } = {},
    internals: Internals = {},
  ): { finished: Promise<FederationResult>; stop(): void } {
    const invite = this.invites.get(site) ?? this.#invites.shift()!
    this.invites.set(site, invite)
    const stop = new AbortController()
    this.#stops.push(stop)
    const events = this.siteEvents.get(site) ?? []
    this.siteEvents.set(site, events)
    const { delayMs, ...options } = change
    const trainer = createFakeTrainer(site, delayMs === undefined ? {} : { delayMs })
    this.trainers.set(site, trainer)
    const finished = joinFederation(
      {
        invite,
        folder: this.siteFolder(site),
        describe: async () => describeFake(site),
        createTrainer: async () => trainer,
        events: (event) => events.push(event),
        signal: stop.signal,
        ...options,
      },
      { ...internals, timing: { ...FAST, ...internals.timing } },
    )
    finished.catch(() => undefined)
    this.#joined.push(finished)
    return { finished, stop: () => stop.abort() }
  }

  logs(level?: string): string[] {
    return this.events.flatMap((event) =>
      event.type === 'log' && (level === undefined || event.level === level) ? [event.message] : [],
    )
  }

  ledgerLines(): string[] {
    const text = readFileSync(join(this.run, 'ledger.jsonl'), 'utf8').trim()
    return text === '' ? [] : text.split('\n')
  }

  /** Ends the coordinator and every site. */
  async stopAll(): Promise<void> {
    for (const stop of this.#stops) stop.abort()
    await this.coordinator?.stop()
    await Promise.allSettled(this.#joined)
  }

  async close(): Promise<void> {
    for (const stop of this.#stops) stop.abort()
    await this.coordinator?.stop()
    await new Promise((resolve) => setTimeout(resolve, 20))
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** What a run of two sites ends with, and what was told, where nothing gets in its way. */
export async function undisturbedRun(): Promise<{ parametersSha256: string; events: MeshflEvent[] }> {
  const reference = new Loopback(2)
  const coordinator = await reference.start()
  reference.join('site-1')
  reference.join('site-2')
  const { parametersSha256 } = await coordinator.finished
  await reference.close()
  return { parametersSha256, events: reference.events }
}

export function isState(site: string, state: string): (event: MeshflEvent) => boolean {
  return (event) => event.type === 'site-state' && event.site === site && event.state === state
}

export async function until(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > end) throw new Error('it did not happen in time')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
