import { cpus } from 'node:os'
import { join } from 'node:path'
import { type EventSink, MeshflError, now, type Study } from '@meshfl/core'
import { startFederationRun } from './federation-run.js'
import { type LocalSite, startLocalSites } from './local-sites.js'
import type { Output } from './output.js'
import { siteDatasetFolder } from './site-trainer.js'

export interface SimulationOptions {
  dataset: string
  /** Names of the dataset's sites. */
  sites: readonly string[]
  folder: string
  study: Study
  command: string
  device?: string
  threads?: number
  output: Output
  signal: AbortSignal
}

/**
 * The whole federation on one machine: a coordinator here, every site as `meshfl join` in a process of its own, over the same
 * encrypted sockets as between hospitals.
 */
export async function simulateFederation(options: SimulationOptions) {
  const { dataset, sites, folder, study, output, signal } = options
  const stopSites = new AbortController()
  const run = await startFederationRun({
    folder,
    study: { ...study, federation: { ...study.federation, sites: sites.length } },
    bind: 'tcp://127.0.0.1:*',
    sites: sites.length,
    autoApprove: true,
    command: options.command,
    output,
    signal,
  })
  try {
    const local = startLocalSites({
      sites: invitedSites(run.coordinator, sites, dataset, folder),
      ...(options.device ? { device: options.device } : {}),
      threads: options.threads ?? Math.max(1, Math.floor(cpus().length / sites.length)),
      signal: AbortSignal.any([signal, stopSites.signal]),
      onRestart: (site, reason) => warn(output.events, site, `${reason}; started again`),
    })
    const result = await Promise.race([run.coordinator.finished, local.failed])
    await Promise.race([local.ended, local.failed])
    return result
  } finally {
    stopSites.abort()
    await run.coordinator.stop()
    run.close()
  }
}

function warn(events: EventSink, site: string, message: string): void {
  events({ type: 'log', time: now(), level: 'warn', message, site })
}
