import { type EventSink, lockFolder, MeshflError, now, type Study } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { type Coordinator, type CoordinatorOptions, startCoordinator } from '@meshfl/federation'
import { createStepOptimizer } from '@meshfl/training'
import { initialModelOf } from './initial-model.js'
import type { Output } from './output.js'
import { openRunFolder, type RunFolder } from './run-folder.js'
import { openTelemetry, type TelemetryOptions } from './telemetry-options.js'
import type { Tunnels } from './tunnels.js'

export interface FederationRunOptions {
  folder: string
  study: Study
  /** Where the model is that a new run begins with; default: drawn from the study's seed. */
  from?: string | undefined
  bind: string
  advertise?: string
  /** Where to listen for tunnels as well: `host:port`. */
  tunnel?: string
  telemetry: TelemetryOptions
  sites: number
  minSites?: number
  /** Decides about a site that asks to take part. */
  approve: CoordinatorOptions['approve']
  sitesTakeTurns?: boolean
  /** How the events name what runs: serve, simulate, demo. */
  command: string
  /** Whether to print the unused invites: before all else, where scripts look for them. */
  printInvites: boolean
  output: Output
  /** Told of every event as well. */
  onEvent?: EventSink
  signal: AbortSignal
}

/** Of a site that comes through a tunnel, beside the coordinator's connection: the WebSocket, and the near end of what it leads to. */
const FILES_A_TUNNEL = 2

export interface FederationRun {
  coordinator: Coordinator
  /** Files that this process may come to hold open beside the coordinator and its sites. */
  otherFiles: number
  /** Stops the coordinator and gives everything back. */
  close(): Promise<void>
}

/** A coordinator on a run's folder, its events in the folder's log and on the output. */
export async function startFederationRun(options: FederationRunOptions): Promise<FederationRun> {
  const { folder, study, output, signal } = options
  const onWait = (message: string): void => output.events({ type: 'log', time: now(), level: 'info', message })
  // A folder in which another process works is left as it is: opening the log and the figures writes to them.
  const lock = await lockFolder(folder, { onWatch: onWait, signal })
  let close = async (): Promise<void> => lock.release()
  const closeFirst = (first: () => Promise<void>): void => {
    const rest = close
    close = () => first().finally(rest)
  }
  let run: RunFolder | undefined
  try {
    run = await openRunFolder(folder, study, 'federation', options.from)
    const { log, studySha256 } = run
    closeFirst(async () => log.close())
    let telemetry: EventSink = () => undefined
    const events: EventSink = (event) => {
      output.events(event)
      log.write(event)
      telemetry(event)
      options.onEvent?.(event)
    }
    const say = (level: 'info' | 'warn', message: string): void => events({ type: 'log', time: now(), level, message })
    const opened = await openTelemetry(options.telemetry, folder, study, (message) => say('warn', message))
    closeFirst(() => opened.close())
    telemetry = opened.events
    // Closed after the coordinator, whose last words they carry.
    let tunnels: Tunnels | undefined
    closeFirst(async () => tunnels?.close())
    const tunnelFiles = options.tunnel === undefined ? 0 : 1 + FILES_A_TUNNEL * options.sites
    const otherFiles = opened.filesOf(options.sites) + tunnelFiles
    const coordinator = await startCoordinator({
      folder,
      bind: options.bind,
      ...(options.advertise ? { advertise: options.advertise } : {}),
      study,
      studySha256,
      layout: modelLayout(study.model),
      initialModel: await initialModelOf(folder, study),
      stepOptimizer: createStepOptimizer(study.model, study.recipe),
      sites: options.sites,
      otherFiles,
      lock,
      ...(options.minSites === undefined ? {} : { minSites: options.minSites }),
      approve: options.approve,
      ...(options.sitesTakeTurns ? { sitesTakeTurns: true } : {}),
      events,
      signal,
    })
    closeFirst(() => coordinator.stop())
    if (options.printInvites) {
      for (const { invite, expires } of coordinator.invites) output.events({ type: 'invite', invite, expires })
    }
    if (options.tunnel !== undefined) {
      const { startTunnels } = await import('./tunnels.js')
      tunnels = await startTunnels(options.tunnel, coordinator.endpoint, options.sites)
      say('info', tunnels.words)
    }
    if (opened.listening) say('info', opened.listening)
    events({
      type: 'run-started',
      time: now(),
      command: options.command,
      run: studySha256.slice(0, 12),
      rounds: study.rounds,
      sites: options.sites,
      engine: 'engines at the sites',
      device: '',
      ...(coordinator.resumedAtRound > 0 ? { resumedAtRound: coordinator.resumedAtRound } : {}),
      path: folder,
    })
    return { coordinator, otherFiles, close }
  } catch (error) {
    // A start that failed does not bind the next one to its options.
    if (error instanceof MeshflError) closeFirst(async () => run?.forget())
    await close()
    throw error
  }
}
