import { setTimeout as sleep } from 'node:timers/promises'
import { BenchFederation, type FederationOptions, quantile } from './federation.js'
import { TcpProxy } from './tcp-proxy.js'

/** One line of the table: what was measured, and whether it is as good as it should be. */
export interface FederationFigure {
  type: 'bench'
  case: string
  sites: number
  /** The measured values, by what they are. */
  [measured: string]: number | string
  goal: string
}

/** Bytes of the default model: 5,688 parameters and 90 statistics, float32. */
const MODEL_BYTES = 4 * (5688 + 90)
const ROUNDS = 200
const WARM_UP = 20

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
    const goal = sites <= 2 ? 'p50 10 ms' : 'p50 20 ms'
    return {
      type: 'bench',
      case: 'round',
      sites,
      p50Ms: round(quantile(times, 0.5)),
      p90Ms: round(quantile(times, 0.9)),
      goal,
    }
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
  return { type: 'bench', case: 'wire', sites, overheadPercent: round(percent), goal: '3 %' }
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
    return { type: 'bench', case: 'killed-site', sites: 2, noticedMs: round(at - killed), goal: '1,000 ms' }
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
    return { type: 'bench', case: 'restart', sites: 2, continuesMs: round(at - begun), goal: '2,000 ms' }
  })
}

/** From the start of the coordinator's process in an empty folder to the first task at a site, keys and enrolment included. */
export function measureFirstTask(): Promise<FederationFigure> {
  return withFederation({ sites: 1, rounds: 1_000_000 }, async (federation) => {
    const begun = now()
    await federation.start()
    const { at } = await federation.processes[0]!.waitFor('event', ({ event }) => event.type === 'round-started')
    return { type: 'bench', case: 'first-task', sites: 1, startMs: round(at - begun), goal: '1,000 ms' }
  })
}

/** What the coordinator's heap grows by over a thousand rounds, after a full collection at both ends. */
export function measureMemory(): Promise<FederationFigure> {
  return withFederation({ sites: 2, rounds: 1_000_000 }, async (federation) => {
    await federation.start()
    await federation.round(200)
    const before = await federation.coordinator.memory()
    await federation.round(1200)
    const after = await federation.coordinator.memory()
    return {
      type: 'bench',
      case: 'memory',
      sites: 2,
      rounds: 1000,
      heapMb: round((after.heap - before.heap) / 1e6),
      residentMb: round((after.resident - before.resident) / 1e6),
      goal: '5 MB',
    }
  })
}

/** A round of many sites, all encrypted, many of them in one process: the model to each and an update back, and then the scores. */
export function measureManySites(sites: number): Promise<FederationFigure> {
  const rounds = 6
  const tell: FederationOptions['tell'] = ['round-started', 'update-applied']
  const timing = { pingMs: 60_000, suspectMs: 300_000, leaseMs: 600_000, resendMs: 60_000, probeMs: 30_000 }
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
    return {
      type: 'bench',
      case: 'round',
      sites,
      exchangeMs: round(quantile(exchanged.slice(1), 0.5)),
      p50Ms: round(quantile(federation.roundMs(1), 0.5)),
      goal: sites <= 1000 ? 'exchange 1,000 ms' : 'exchange 2,000 ms',
    }
  })
}

/** Time of a round of honest sites while strangers hold connections open that never say a word. */
export function measureIdleConnections(count: number): Promise<FederationFigure> {
  return withFederation({ sites: 2, rounds: 1_000_000 }, async (federation) => {
    await federation.start()
    await federation.round(WARM_UP)
    const { endpoint } = await federation.coordinator.waitFor('started')
    const port = Number(/:(\d+)$/.exec(endpoint)![1])
    const { connect } = await import('node:net')
    let isOpen = true
    const sockets = Array.from({ length: count }, () => {
      const open = (): ReturnType<typeof connect> => {
        const socket = connect(port, '127.0.0.1')
        socket.on('error', () => undefined)
        socket.on('close', () => isOpen && sockets.push(open())) // the handshake's time was up: it comes again
        return socket
      }
      return open()
    })
    await sleep(1000)
    const before = federation.roundMs(0).length
    await federation.round(before + 300)
    isOpen = false
    for (const socket of sockets) socket.destroy()
    const times = federation.roundMs(before)
    return {
      type: 'bench',
      case: 'idle-connections',
      sites: 2,
      connections: count,
      p50Ms: round(quantile(times, 0.5)),
      p99Ms: round(quantile(times, 0.99)),
      goal: 'p99 5 ms a message',
    }
  })
}

function now(): number {
  return performance.timeOrigin + performance.now()
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
