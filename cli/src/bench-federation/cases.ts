import { setTimeout as sleep } from 'node:timers/promises'
import { checkSitesOfProcess } from '@meshfl/federation'
import { BenchFederation, type FederationOptions, quantile } from './federation.js'
import { IdleStrangers } from './idle-strangers.js'
import { TcpProxy } from './tcp-proxy.js'

/** One line of the table: what was measured, and how much of it there should be at most. */
export interface FederationFigure {
  type: 'bench'
  case: string
  sites: number
  /** By what they are. */
  measured: Record<string, number>
  goal: Record<string, number>
}

function figure(
  name: string,
  sites: number,
  measured: Record<string, number>,
  goal: Record<string, number>,
): FederationFigure {
  const rounded = Object.entries(measured).map(([what, value]) => [what, Math.round(value * 100) / 100])
  return { type: 'bench', case: name, sites, measured: Object.fromEntries(rounded), goal }
}

/** Bytes of the default model: 5,688 parameters and 90 statistics, float32. */
const MODEL_BYTES = 4 * (5688 + 90)
const ROUNDS = 200
const WARM_UP = 20
const IDLE_MS = 20_000

async function withFederation<T>(
  options: FederationOptions,
  work: (federation: BenchFederation) => Promise<T>,
): Promise<T> {
  const federation = new BenchFederation(options)
  try {
    return await Promise.race([work(federation), federation.failed])
  } finally {
    await federation.close()
  }
}

/** From the beginning of one round to the next, with sites that train in no time: train, commit, score, record. */
export function measureRound(sites: number): Promise<FederationFigure> {
  return withFederation({ sites, rounds: ROUNDS }, async (federation) => {
    await federation.start()
    await federation.round(ROUNDS)
    const times = federation.roundMs(WARM_UP)
    const measured = { p50Ms: quantile(times, 0.5), p90Ms: quantile(times, 0.9) }
    return figure('round', sites, measured, { p50Ms: sites <= 2 ? 10 : 20 })
  })
}

/** All bytes between sites and coordinator over those of the models, one each way for each site and round. */
export async function measureWire(): Promise<FederationFigure> {
  const sites = 2
  let proxy: TcpProxy | undefined
  const dial = async (port: number): Promise<number> => {
    proxy = await TcpProxy.open(port)
    return proxy.port
  }
  const percent = await withFederation({ sites, rounds: ROUNDS, dial }, async (federation) => {
    await federation.start()
    await federation.round(WARM_UP)
    const before = proxy!.bytes
    await federation.round(ROUNDS)
    return 100 * ((proxy!.bytes - before) / ((ROUNDS - WARM_UP) * sites * 2 * MODEL_BYTES) - 1)
  })
  await proxy!.close()
  return figure('wire', sites, { overheadPercent: percent }, { overheadPercent: 3 })
}

/** From SIGKILL of a site to the coordinator's word that it is gone. */
export function measureKilledSite(): Promise<FederationFigure> {
  const tell: FederationOptions['tell'] = ['round-started', 'site-state']
  return withFederation({ sites: 2, rounds: 1_000_000, tell }, async (federation) => {
    await federation.start()
    await federation.round(10)
    const killed = now()
    federation.processes[1]!.kill()
    const { at } = await federation.coordinator.waitFor(
      'event',
      (message) => message.at >= killed && message.event.type === 'site-state' && message.event.state === 'suspect',
    )
    return figure('killed-site', 2, { noticedMs: at - killed }, { noticedMs: 1000 })
  })
}

/** From the start of a coordinator that was killed in a round to the beginning of the next. */
export function measureRestart(): Promise<FederationFigure> {
  return withFederation({ sites: 2, rounds: 1_000_000 }, async (federation) => {
    await federation.start()
    await federation.round(10)
    federation.coordinator.kill()
    await federation.coordinator.ended
    const begun = now()
    const { resumedAtRound } = await federation.startCoordinator()
    const { at } = await federation.round(resumedAtRound + 2) // the first that it did not find begun
    return figure('restart', 2, { continuesMs: at - begun }, { continuesMs: 2000 })
  })
}

/** From the start of the coordinator's process in an empty folder to the first task at a site, keys and enrolment included. */
export function measureFirstTask(): Promise<FederationFigure> {
  return withFederation({ sites: 1, rounds: 1_000_000, tellOfSites: ['round-started'] }, async (federation) => {
    const begun = now()
    await federation.start()
    const { at } = await federation.processes[0]!.waitFor('event', ({ event }) => event.type === 'round-started')
    return figure('first-task', 1, { startMs: at - begun }, { startMs: 1000 })
  })
}

/**
 * What the coordinator's memory grows by over a thousand rounds, after a full collection at both ends, once V8's young generation
 * has the size that it keeps: it grows by some 15 MB over the first thousand.
 */
export function measureMemory(): Promise<FederationFigure> {
  return withFederation({ sites: 2, rounds: 1_000_000 }, async (federation) => {
    await federation.start()
    await federation.round(1200)
    const before = await federation.coordinator.memory()
    await federation.round(2200)
    const after = await federation.coordinator.memory()
    const measured = {
      heapMb: (after.heap - before.heap) / 1e6,
      residentMb: (after.resident - before.resident) / 1e6,
    }
    return figure('memory', 2, measured, { heapMb: 5, residentMb: 5 })
  })
}

/**
 * A round of many sites, all encrypted, many of them in one process: the model to each and an update back, and then the scores.
 * @throws MeshflError `SIMULATE_TOO_MANY_SITES`, `OPEN_FILES_TOO_FEW`
 */
export async function measureManySites(sites: number): Promise<FederationFigure> {
  checkSitesOfProcess(Math.ceil(sites / 2))
  const rounds = 6
  const tell: FederationOptions['tell'] = ['round-started', 'update-applied']
  // Signs of life as seldom as thousands of sites in two processes need them: libzmq's and ours, and resends.
  const timing = {
    ...{ heartbeatMs: 80_000, pingMs: 60_000, suspectMs: 300_000, leaseMs: 600_000 },
    ...{ resendMs: 60_000, probeMs: 30_000 },
  }
  const options: FederationOptions = { sites, rounds, tell, timing, sitesPerProcess: Math.ceil(sites / 2) }
  return withFederation(options, async (federation) => {
    await federation.start()
    const started: number[] = []
    const exchanged: number[] = []
    await federation.round(rounds)
    for (const message of federation.coordinator.said) {
      if (message.type !== 'event') continue
      if (message.event.type === 'round-started') started.push(message.at)
      else exchanged.push(message.at - started.at(-1)!)
    }
    const measured = { exchangeMs: quantile(exchanged.slice(1), 0.5), roundMs: quantile(federation.roundMs(1), 0.5) }
    return figure('round', sites, measured, { exchangeMs: sites <= 1000 ? 1000 : 2000 })
  })
}

/** Time from a PING of an honest site to its PONG, in rounds, while strangers hold connections open that never say a word. */
export function measureIdleConnections(count: number): Promise<FederationFigure> {
  const options: FederationOptions = {
    ...{ sites: 2, rounds: 1_000_000, delayMs: 50 },
    ...{ timing: { pingMs: 10 }, timesPings: true },
  }
  return withFederation(options, async (federation) => {
    await federation.start()
    await federation.round(3)
    const { endpoint } = await federation.coordinator.waitFor('started')
    const strangers = new IdleStrangers(Number(/:(\d+)$/.exec(endpoint)![1]), count)
    await sleep(2000)
    const before = federation.processes.map(({ said }) => said.length)
    await sleep(IDLE_MS)
    const times = federation.processes.flatMap(({ said }, i) =>
      said.slice(before[i]).flatMap((message) => (message.type === 'pong' ? [message.ms] : [])),
    )
    strangers.close()
    const measured = { connections: count, messages: times.length }
    const message = { messageP50Ms: quantile(times, 0.5), messageP99Ms: quantile(times, 0.99) }
    return figure('idle-connections', 2, { ...measured, ...message }, { messageP99Ms: 5 })
  })
}

function now(): number {
  return performance.timeOrigin + performance.now()
}
