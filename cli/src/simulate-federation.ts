import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MeshflError, now, type Study, writeFileAtomic } from '@meshfl/core'
import type { Coordinator } from '@meshfl/federation'
import type { EngineOptions } from './engine-options.js'
import { startFederationRun } from './federation-run.js'
import { type LocalSite, type LocalSites, startLocalSites } from './local-sites.js'
import type { Output } from './output.js'
import { siteDatasetFolder } from './site-trainer.js'
import type { TelemetryOptions } from './telemetry-options.js'
import type { TrainingOptions } from './training-options.js'

export interface SimulationOptions {
  dataset: string
  /** Names of the dataset's sites. */
  sites: readonly string[]
  folder: string
  study: Study
  /** See `FederationRunOptions`. */
  from?: string | undefined
  command: string
  telemetry?: TelemetryOptions
  /** Whether all sites run in this process. */
  inProcess: boolean
  /** Of every site. Default threads: the machine's cores, shared out, as far as a site can have so many. */
  engine: EngineOptions
  training: TrainingOptions
  output: Output
  signal: AbortSignal
}

/**
 * The whole federation on one machine, over the same encrypted sockets as between hospitals: a coordinator here, every site as
 * `meshfl join` in a process of its own, or, where there are many, all of them in this process.
 */
export async function simulateFederation(options: SimulationOptions) {
  const { folder, study, output, signal } = options
  const stopSites = new AbortController()
  const run = await startFederationRun({
    folder,
    study: { ...study, federation: { ...study.federation, sites: options.sites.length } },
    from: options.from,
    bind: 'tcp://127.0.0.1:*',
    sites: options.sites.length,
    approve: async () => true,
    sitesTakeTurns: options.inProcess,
    telemetry: options.telemetry ?? {},
    command: options.command,
    printInvites: false,
    output,
    signal,
  })
  try {
    const sites = await inviteSites(run.coordinator, options)
    const stop = AbortSignal.any([signal, stopSites.signal])
    const local = options.inProcess
      ? await startHere(sites, run.otherFiles, options, stop)
      : await startProcesses(sites, options, stop)
    const result = await Promise.race([run.coordinator.finished, local.failed])
    await Promise.race([local.ended, local.failed])
    return result
  } finally {
    stopSites.abort()
    await run.close()
  }
}

async function startProcesses(
  sites: LocalSite[],
  options: SimulationOptions,
  signal: AbortSignal,
): Promise<LocalSites> {
  const { defaultThreads } = await import('@meshfl/engine')
  return startLocalSites({
    sites,
    engine: { threads: defaultThreads(sites.length), ...options.engine },
    training: options.training,
    signal,
    onWarning: (site, message) => options.output.events({ type: 'log', time: now(), level: 'warn', message, site }),
  })
}

async function startHere(
  sites: LocalSite[],
  otherFiles: number,
  options: SimulationOptions,
  signal: AbortSignal,
): Promise<LocalSites> {
  const [{ engineFromOptions }, { startSitesInProcess }] = await Promise.all([
    import('./engine-options.js'),
    import('./in-process-sites.js'),
  ])
  const engine = await engineFromOptions(options.engine)
  return startSitesInProcess({
    ...{ sites, otherFiles, engine, signal, onLog: options.output.events },
    allowEngineChange: options.training.allowEngineChange === true,
  })
}

/**
 * The invite of each site: kept in its state folder, so that a run that goes on hands every site the invite it came with; the
 * address is that of now, for a site in a process of its own in the file too, which is where it reads it.
 */
async function inviteSites(
  coordinator: Coordinator,
  { sites, dataset, folder, inProcess }: SimulationOptions,
): Promise<LocalSite[]> {
  const address = coordinator.endpoint.replace('tcp://', '')
  const places = sites.map((name) => {
    const state = join(folder, 'sites', name)
    const file = join(state, 'invite.txt')
    return { name, state, file, kept: existsSync(file) ? readFileSync(file, 'utf8') : undefined }
  })
  // One that a site was given before a crash is that site's, used or not.
  const secretOf = (invite: string): string => invite.slice(invite.lastIndexOf('/'))
  const given = new Set(places.flatMap(({ kept }) => (kept === undefined ? [] : [secretOf(kept)])))
  const unused = coordinator.invites.map(({ invite }) => invite).filter((invite) => !given.has(secretOf(invite)))
  return Promise.all(
    places.map(async ({ name, state, file, kept }) => {
      const unaddressed = kept ?? unused.pop()
      if (unaddressed === undefined) {
        throw new MeshflError('SIMULATE_NO_INVITE', `there is no invite left for ${name}`, {
          hint: 'start the run in an empty folder',
        })
      }
      const invite = unaddressed.replace(/^mfl1:[^/]+/, `mfl1:${address}`)
      if (kept === undefined || (kept !== invite && !inProcess)) await writeFileAtomic(file, invite, { mode: 0o600 })
      return {
        name,
        invite,
        inviteFile: file,
        dataset: siteDatasetFolder(dataset, name),
        state,
      }
    }),
  )
}
