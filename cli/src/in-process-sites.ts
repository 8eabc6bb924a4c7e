import { setMaxListeners } from 'node:events'
import { MeshflError, type MeshflEvent, type SiteTrainer } from '@meshfl/core'
import { createVolumeReader } from '@meshfl/dataset'
import type { Engine, Session } from '@meshfl/engine'
import { checkSitesOfProcess, joinFederation } from '@meshfl/federation'
import { LocalTrainer } from '@meshfl/training'
import { fewAtATime } from './few-at-a-time.js'
import type { LocalSite, LocalSites } from './local-sites.js'
import { checkClasses, describeSite, openTrainingDataset, trainerOptions } from './site-trainer.js'
import { Turnstile } from './turnstile.js'

/** Decoded volumes that all sites together keep in memory. */
const CACHE_BYTES = 2 ** 30

/** Sites that log in at the same time. */
const AT_THE_DOOR = 24

export interface InProcessSitesOptions {
  sites: LocalSite[]
  /** Files that this process may come to hold open beside the sites and their coordinator. */
  otherFiles: number
  engine: Engine
  /** Whether a site may go on with another engine than it began with. */
  allowEngineChange: boolean
  signal: AbortSignal
  /** Warnings and errors of a site. */
  onLog(event: MeshflEvent): void
}

/**
 * Runs many sites in this process: each with its keys, its folder and its own encrypted connection, as everywhere; one engine
 * computes for all of them, one after the other, in one session a grid.
 */
export function startSitesInProcess({
  sites,
  otherFiles,
  engine,
  allowEngineChange,
  signal,
  onLog,
}: InProcessSitesOptions): LocalSites {
  let fail: (error: unknown) => void = () => undefined
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })
  failed.catch(() => undefined)
  checkSitesOfProcess(sites.length, otherFiles)
  const reader = createVolumeReader()
  const turnstile = new Turnstile()
  const sessions = new Map<string, Promise<Session>>()
  setMaxListeners(0, signal) // one a site
  const run = async (site: LocalSite, onOnline: () => void): Promise<void> => {
    try {
      await joinFederation({
        invite: site.invite,
        folder: site.state,
        describe: async () => describeSite(await openTrainingDataset(site.dataset, reader), engine),
        createTrainer: async (study) => {
          const dataset = await openTrainingDataset(site.dataset, reader)
          checkClasses(dataset, study)
          const grid = JSON.stringify(dataset.grid)
          const session =
            sessions.get(grid) ??
            engine.createSession(study.model, dataset.grid, { purpose: 'train', batchSize: study.recipe.batchSize })
          sessions.set(grid, session)
          const cacheBytes = Math.floor(CACHE_BYTES / sites.length)
          return inTurn(
            new LocalTrainer({ ...trainerOptions(dataset, study), session: await session, cacheBytes }),
            turnstile,
          )
        },
        allowEngineChange,
        events: (event) => {
          if (event.type === 'log' && event.level === 'error') onLog(event)
          if (event.type === 'site-state' && event.state === 'online') onOnline()
        },
        signal,
      })
    } catch (error) {
      if (signal.aborted) return
      fail(
        error instanceof MeshflError
          ? new MeshflError(error.code, `${site.name}: ${error.message}`, {
              kind: error.kind,
              ...(error.hint ? { hint: error.hint } : {}),
            })
          : error,
      )
    }
  }
  const ended = fewAtATime(sites, AT_THE_DOOR, run).then(async () => {
    reader.close()
    for (const session of sessions.values()) (await session).dispose()
  })
  return { failed, ended }
}

/** A trainer that waits for its turn at the engine. */
function inTurn(trainer: LocalTrainer, turnstile: Turnstile): SiteTrainer {
  return {
    train: (task) => turnstile.pass(() => trainer.train(task), task.signal),
    evaluate: (task) => turnstile.pass(() => trainer.evaluate(task), task.signal),
    gradient: (task) => turnstile.pass(() => trainer.gradient(task), task.signal),
  }
}
