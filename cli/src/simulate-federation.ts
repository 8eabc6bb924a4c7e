import { existsSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { type EventSink, MeshflError, now, type Study, writeFileAtomic } from '@meshfl/core'
import type { Coordinator } from '@meshfl/federation'
import type { DataOptions } from './data-options.js'
import type { EngineOptions } from './engine-options.js'
import { startFederationRun } from './federation-run.js'
import { type LocalSite, startLocalSites } from './local-sites.js'
import type { Output } from './output.js'
import { siteDatasetFolder } from './site-trainer.js'
import type { TelemetryOptions } from './telemetry-options.js'

export interface SimulationOptions {
  dataset: string
  /** Names of the dataset's sites. */
  sites: readonly string[]
  folder: string
  study: Study
  command: string
  telemetry?: TelemetryOptions
  /** Of every site. Default threads: the machine's cores, shared out. */
  engine: EngineOptions
  data: DataOptions
  output: Output
  signal: AbortSignal
}

/**
 * The whole federation on one machine: a coordinator here, every site as `meshfl join` in a process of its own, over the same
 * encrypted sockets as between hospitals.
 */
export async function simulateFederation(options: SimulationOptions) {
  const { sites, folder, study, output, signal } = options
  const stopSites = new AbortController()
  const run = await startFederationRun({
    folder,
    study: { ...study, federation: { ...study.federation, sites: sites.length } },
    bind: 'tcp://127.0.0.1:*',
    sites: sites.length,
    autoApprove: true,
    telemetry: options.telemetry ?? {},
    command: options.command,
    printInvites: false,
    output,
    signal,
  })
  try {
    const local = startLocalSites({
      sites: await inviteSites(run.coordinator, options),
      engine: { threads: Math.max(1, Math.floor(cpus().length / sites.length)), ...options.engine },
      data: options.data,
      signal: AbortSignal.any([signal, stopSites.signal]),
      onRestart: (site, reason) => warn(output.events, site, `${reason}; started again`),
    })
    const result = await Promise.race([run.coordinator.finished, local.failed])
    await Promise.race([local.ended, local.failed])
    return result
  } finally {
    stopSites.abort()
    await run.close()
  }
}

/**
 * The invite of each site: kept in its state folder, so that a run that goes on hands every site the invite it came with; the
 * address is that of now.
 */
async function inviteSites(
  coordinator: Coordinator,
  { sites, dataset, folder }: SimulationOptions,
): Promise<LocalSite[]> {
  const unused = coordinator.invites.map(({ invite }) => invite)
  const address = coordinator.endpoint.replace('tcp://', '')
  const invited: LocalSite[] = []
  for (const name of sites) {
    const state = join(folder, 'sites', name)
    const file = join(state, 'invite.txt')
    const kept = existsSync(file) ? readFileSync(file, 'utf8') : unused.pop()
    if (kept === undefined) {
      throw new MeshflError('SIMULATE_NO_INVITE', `there is no invite left for ${name}`, {
        hint: 'start the run in an empty folder',
      })
    }
    await writeFileAtomic(file, kept, { mode: 0o600 })
    invited.push({
      name,
      invite: kept.replace(/^mfl1:[^/]+/, `mfl1:${address}`),
      dataset: siteDatasetFolder(dataset, name),
      state,
    })
  }
  return invited
}

function warn(events: EventSink, site: string, message: string): void {
  events({ type: 'log', time: now(), level: 'warn', message, site })
}
