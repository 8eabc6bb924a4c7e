import { setMaxListeners } from 'node:events'
import { join } from 'node:path'
import { type MeshflEvent, openEventLog, StudySchema, studySha256 } from '@meshfl/core'
import { createTinyTrainer, describeTinySite, joinFederation, SharedRounds, startCoordinator } from '@meshfl/federation'
import { fewAtATime } from '../few-at-a-time.js'
import type { CoordinatorJob, FromProcess, SitesJob, ToProcess } from './process-messages.js'

/** Sites that log in at the same time. */
const AT_THE_DOOR = 24

/**
 * A coordinator, or some sites, in a process of its own that its parent may kill at any moment: the federation as `meshfl serve`
 * and `meshfl join` run it, without datasets and engines. It loads its code first and then waits to be told what to be.
 */
const say = (message: FromProcess): void => {
  process.send?.(message)
}
const stop = new AbortController()

process.on('disconnect', () => process.exit()) // whoever wanted it is gone
process.on('message', (message: ToProcess) => {
  if (message.type === 'stop') stop.abort()
  else if (message.type === 'memory') say({ type: 'memory', bytes: measureMemory() })
  else
    run(message).then(
      () => process.exit(),
      (error: Error & { code?: string }) => {
        say({ type: 'failed', code: error.code ?? error.name, message: error.stack ?? error.message })
        process.exitCode = 1
        setImmediate(() => process.disconnect())
      },
    )
})
say({ type: 'loaded' })

async function run(job: CoordinatorJob | SitesJob): Promise<void> {
  if (job.type === 'sites') await runSites(job)
  else await runCoordinator(job)
}

async function runCoordinator(job: CoordinatorJob): Promise<void> {
  const [{ initializeModel, modelLayout }] = await Promise.all([import('@meshfl/engine')])
  const study = StudySchema.parse(job.study)
  const log = openEventLog(join(job.folder, 'events.jsonl'))
  const wanted = new Set<string>(job.tell)
  const coordinator = await startCoordinator(
    {
      folder: job.folder,
      bind: job.bind,
      ...(job.advertise === undefined ? {} : { advertise: job.advertise }),
      study,
      studySha256: studySha256(study),
      layout: modelLayout(study.model),
      initialModel: initializeModel(study.model, study.seed),
      sites: job.sites,
      approve: async () => true,
      events(event: MeshflEvent) {
        log.write(event)
        if (wanted.has(event.type)) say({ type: 'event', at: performance.timeOrigin + performance.now(), event })
      },
      signal: stop.signal,
    },
    { timing: job.timing ?? {} },
  )
  const { endpoint, resumedAtRound } = coordinator
  say({ type: 'started', endpoint, resumedAtRound, invites: coordinator.invites.map(({ invite }) => invite) })
  const { rounds, parametersSha256 } = await coordinator.finished
  log.close()
  say({ type: 'finished', rounds, parametersSha256 })
}

async function runSites(job: SitesJob): Promise<void> {
  setMaxListeners(0, stop.signal) // one a site
  const shared = job.rounds === undefined ? undefined : await SharedRounds.open(job.rounds)
  const at = job.timesPings ? { at: pingTimer() } : {}
  let finished: { rounds: number; parametersSha256: string } | undefined
  await fewAtATime(job.sites, AT_THE_DOOR, async ({ site, invite, folder }, arrived) => {
    finished = await joinFederation(
      {
        invite,
        folder,
        describe: async () => describeTinySite(site),
        createTrainer: async () => createTinyTrainer(site, job.delayMs === undefined ? {} : { delayMs: job.delayMs }),
        events: (event) => {
          if (event.type === 'site-state' && event.state === 'online') arrived()
          if (job.tell.includes(event.type))
            say({ type: 'event', at: performance.timeOrigin + performance.now(), event })
        },
        ...(shared ? { rounds: shared.of(site) } : {}),
        signal: stop.signal,
      },
      { timing: job.timing ?? {}, ...at },
    )
  })
  await shared?.close()
  const { rounds, parametersSha256 } = finished!
  say({ type: 'finished', rounds, parametersSha256 })
}

/** Tells the time from each PING to its PONG, of one site. */
function pingTimer(): (point: string) => void {
  let sent: number | undefined
  return (point) => {
    if (point === 'before ping') sent ??= performance.now()
    else if (point === 'pong' && sent !== undefined) {
      say({ type: 'pong', ms: performance.now() - sent })
      sent = undefined
    }
  }
}

/** What is held after a full collection, and what the system counts. */
function measureMemory(): { heap: number; resident: number } {
  globalThis.gc?.()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { heap: heapUsed + external, resident: rss }
}
