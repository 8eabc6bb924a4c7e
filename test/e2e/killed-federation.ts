import { loadavg } from 'node:os'
import path from 'node:path'
import { createRandom } from '@meshfl/core'
import type { SitesJob } from '../../cli/src/bench-federation/process-messages.js'
import { FederationProcess } from '../../cli/src/bench-federation/spawn-process.js'
import { root } from './cli.js'

const ENTRY = path.join(root, 'cli/dist/federation-process.js')
/** Processes that have loaded their code and wait for a part to play: starting one takes longer than a round. */
const SPARES = 4
/** A wait that lasts so long is told, and again after the same time. */
const REPORT_MS = 60_000
/** A site that hears nothing asks again soon: kills lose messages all the time. */
const TIMING = { resendMs: 300, probeMs: 200 }
/** A model of one block: what is tested is who survives, not what is learned. */
export const TINY_MODEL = { channels: 1, dilations: [1] }

export interface KilledFederationOptions {
  folder: string
  port: number
  sites: readonly string[]
  rounds: number
  /** Invites by site: of the coordinator whose keys lie in the folder. Empty: those that it prints are used. */
  invites: Map<string, string>
}

/** A coordinator and its sites, each a process of its own, that are killed and started again. */
export class KilledFederation {
  kills = 0
  readonly #options: KilledFederationOptions
  readonly #parts = new Map<string, FederationProcess>()
  readonly #spares: FederationProcess[] = []
  readonly #results = new Map<string, string>()
  #round = 0
  #failure: Error | undefined
  #onChange: () => void = () => undefined

  constructor(options: KilledFederationOptions) {
    this.#options = options
  }

  get folder(): string {
    return path.join(this.#options.folder, 'run')
  }

  siteFolder(site: string): string {
    return path.join(this.#options.folder, site)
  }

  /** Runs to the end; kills so many times, at moments that a seed decides. Resolves with the hash that each of them ended with. */
  async run(kills: number, seed: number): Promise<Map<string, string>> {
    const { rounds, sites } = this.#options
    const random = createRandom(seed, 'kills')
    const uniform = (below: number): number => Math.floor(random.uniform() * below)
    await this.#start('coordinator')
    for (const site of sites) await this.#start(site)
    const everybody = ['coordinator', ...sites]
    while (this.kills < kills) {
      // Evenly over the rounds, so that some rounds see several kills and most see none.
      const due = 1 + Math.floor((this.kills / kills) * (rounds - 3))
      await this.#until(() => this.#round >= due)
      await new Promise((resolve) => setTimeout(resolve, uniform(30)))
      const victims = 1 + uniform(4)
      for (let i = 0; i < victims && this.kills < kills; i++) {
        const name = everybody[uniform(everybody.length)]!
        await this.#kill(name)
        await this.#start(name)
      }
    }
    await this.#until(() => this.#results.size === everybody.length)
    return this.#results
  }

  async close(): Promise<void> {
    const all = [...this.#parts.values(), ...this.#spares]
    for (const part of all) part.kill()
    await Promise.all(all.map(({ ended }) => ended))
  }

  async #kill(name: string): Promise<void> {
    const part = this.#parts.get(name)!
    part.kill()
    const { signal } = await part.ended
    if (signal === 'SIGKILL') this.kills += 1
    else throw new Error(`${name} had ended by itself before it was killed`)
  }

  async #start(name: string): Promise<void> {
    while (this.#spares.length < SPARES) this.#spares.push(new FederationProcess(ENTRY))
    const part = this.#spares.shift()!
    this.#parts.set(name, part)
    part.onSaid = (message) => {
      if (message.type === 'event' && message.event.type === 'round-started') this.#round = message.event.round
      if (message.type === 'finished') this.#results.set(name, message.parametersSha256)
      if (message.type === 'failed') this.#failure = new Error(`${name}: ${message.message}`)
      this.#onChange()
    }
    const { folder, port, rounds, sites, invites } = this.#options
    const address = `127.0.0.1:${port}`
    if (name === 'coordinator') {
      const study = { rounds, model: TINY_MODEL }
      const bind = `tcp://${address}`
      const tell = ['round-started' as const]
      part.begin({ type: 'coordinator', folder: this.folder, bind, study, sites: sites.length, timing: TIMING, tell })
      if (invites.size > 0) return
      const { invites: printed } = await part.waitFor('started')
      for (const [i, site] of sites.entries()) invites.set(site, printed[i]!)
      return
    }
    const job: SitesJob['sites'][0] = { site: name, invite: invites.get(name)!, folder: path.join(folder, name) }
    part.begin({ type: 'sites', sites: [job], timing: TIMING, tell: [] })
  }

  async #until(condition: () => boolean): Promise<void> {
    const reporting = setInterval(() => console.warn(this.#whereItStands()), REPORT_MS)
    try {
      while (!condition()) {
        if (this.#failure) throw this.#failure
        await new Promise<void>((resolve) => {
          this.#onChange = resolve
        })
      }
    } finally {
      clearInterval(reporting)
    }
  }

  /** For whoever asks later whether a run was slow, or hung. */
  #whereItStands(): string {
    const ends = [...this.#results.keys()].join(', ')
    return `${this.kills} kills, in round ${this.#round}, ended: ${ends || 'nobody'}, at ${process.uptime().toFixed(0)} s, load ${loadavg()[0]!.toFixed(1)}`
  }
}
