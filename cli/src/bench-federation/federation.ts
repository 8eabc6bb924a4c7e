import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MeshflEvent } from '@meshfl/core'
import type { CoordinatorJob, Said } from './process-messages.js'
import { FederationProcess } from './spawn-process.js'

export interface FederationOptions {
  sites: number
  rounds: number
  /** Sites of one process. Default: one, as between hospitals. */
  sitesPerProcess?: number
  study?: Record<string, unknown>
  timing?: CoordinatorJob['timing']
  tell?: MeshflEvent['type'][]
  tellOfSites?: MeshflEvent['type'][]
  /** See `SitesJob`. */
  delayMs?: number
  timesPings?: boolean
  /** Where sites dial, given the coordinator's port; default: there. */
  dial?(port: number): Promise<number>
}

/** A coordinator and its sites in processes of their own, in a temporary folder, on this machine's loopback. */
export class BenchFederation {
  readonly folder = mkdtempSync(join(tmpdir(), 'meshfl-bench-'))
  readonly processes: FederationProcess[] = []
  readonly #options: FederationOptions
  /** Rejects when one of the processes meets an error. */
  readonly failed: Promise<never>
  #fail!: (error: Error) => void
  #port: number | undefined
  coordinator!: FederationProcess

  constructor(options: FederationOptions) {
    this.#options = options
    this.failed = new Promise((_, reject) => {
      this.#fail = reject
    })
    this.failed.catch(() => undefined) // whoever awaits it still sees the error
  }

  /** Starts the coordinator, on the port that it had before. */
  async startCoordinator(): Promise<Said<'started'>> {
    const { rounds, sites, timing } = this.#options
    this.coordinator = this.#spawn()
    this.coordinator.begin({
      type: 'coordinator',
      folder: join(this.folder, 'run'),
      bind: `tcp://127.0.0.1:${this.#port ?? '*'}`,
      study: { rounds, ...this.#options.study },
      sites,
      ...(timing ? { timing } : {}),
      tell: this.#options.tell ?? ['round-started'],
    })
    const started = await this.coordinator.waitFor('started')
    this.#port = Number(/:(\d+)$/.exec(started.endpoint)![1])
    return started
  }

  /** Starts the coordinator and all sites. */
  async start(): Promise<void> {
    const { sites, sitesPerProcess = 1, timing, dial, delayMs, timesPings } = this.#options
    const { invites } = await this.startCoordinator()
    const port = dial ? await dial(this.#port!) : this.#port!
    for (let first = 0; first < sites; first += sitesPerProcess) {
      const part = this.#spawn()
      this.processes.push(part)
      part.begin({
        type: 'sites',
        sites: invites.slice(first, first + sitesPerProcess).map((invite, i) => {
          const site = `site-${String(first + i + 1).padStart(4, '0')}`
          return { site, invite: invite.replace(/:\d+\//, `:${port}/`), folder: join(this.folder, site) }
        }),
        ...(sitesPerProcess > 1 ? { rounds: join(this.folder, `rounds-${this.processes.length}`) } : {}),
        ...(timing ? { timing } : {}),
        ...(delayMs === undefined ? {} : { delayMs }),
        ...(timesPings ? { timesPings } : {}),
        tell: this.#options.tellOfSites ?? [],
      })
    }
  }

  #spawn(): FederationProcess {
    const part = new FederationProcess()
    part.onSaid = (message) => {
      if (message.type === 'failed') this.#fail(new Error(message.message))
    }
    return part
  }

  round(round: number): Promise<Said<'event'>> {
    return this.coordinator.waitFor('event', ({ event }) => event.type === 'round-started' && event.round === round)
  }

  /** Milliseconds between the beginnings of one round and the next, from the n-th on. */
  roundMs(from: number): number[] {
    const times = this.coordinator.said.flatMap((message) =>
      message.type === 'event' && message.event.type === 'round-started' ? [message.at] : [],
    )
    return times
      .slice(1)
      .map((time, i) => time - times[i]!)
      .slice(from)
  }

  async close(): Promise<void> {
    const all = [this.coordinator, ...this.processes]
    for (const part of all) part.kill()
    await Promise.all(all.map(({ ended }) => ended))
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** @param fraction 0.5 is the median */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))]!
}
