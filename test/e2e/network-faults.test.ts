import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { createRandom, type MeshflEvent, StudySchema, studySha256 } from '@meshfl/core'
import { initializeModel, modelLayout } from '@meshfl/engine'
import { createTinyTrainer, describeTinySite, joinFederation, startCoordinator, verifyLedger } from '@meshfl/federation'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import { TcpProxy } from '../../cli/src/bench-federation/tcp-proxy.js'
import { temporaryFolder } from './cli.js'
import { TINY_MODEL } from './killed-federation.js'

/** Nightly: the protocol's own clocks and the real 30 s (docs/durability.md). */
const IS_NIGHTLY = process.env.MESHFL_NIGHTLY !== undefined
if (IS_NIGHTLY) vi.setConfig({ testTimeout: 300_000 })
const PARTITION_MS = IS_NIGHTLY ? 30_000 : 2500
const TIMING = IS_NIGHTLY
  ? {}
  : {
      pingMs: 200,
      suspectMs: 600,
      leaseMs: 1500,
      resendMs: 200,
      probeMs: 50,
      heartbeatMs: 200,
      heartbeatTimeoutMs: 1000,
    }
const SITES = ['site-1', 'site-22', 'site-333']
const ROUNDS = 10

interface Disturbed {
  proxies: TcpProxy[]
  /** The first event, past or to come, that matches. */
  waitFor(matches: (event: MeshflEvent) => boolean): Promise<void>
  hasEnded(): boolean
  folder: string
  /** The coordinator's, so far. */
  events: readonly MeshflEvent[]
}

interface FederateOptions {
  rounds?: number
  timing?: typeof TIMING
  /** Called where a site stands at one of its steps. */
  at?(point: string, site: string, line: TcpProxy): void
}

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** A federation each of whose sites has a line of its own; while it runs, the lines are disturbed. */
async function federate(
  disturb: (lines: Disturbed) => Promise<void>,
  { rounds = ROUNDS, timing = TIMING, at }: FederateOptions = {},
): Promise<string> {
  const folder = temporaryFolder('faults')
  folders.push(folder)
  const study = StudySchema.parse({ rounds, model: TINY_MODEL })
  const stop = new AbortController()
  const events: MeshflEvent[] = []
  const listeners = new Set<() => void>()
  const coordinator = await startCoordinator(
    {
      folder: path.join(folder, 'run'),
      bind: 'tcp://127.0.0.1:*',
      study,
      studySha256: studySha256(study),
      layout: modelLayout(study.model),
      initialModel: initializeModel(study.model, study.seed),
      sites: SITES.length,
      approve: async () => true,
      events: (event) => {
        events.push(event)
        for (const listener of listeners) listener()
      },
      signal: stop.signal,
    },
    { timing },
  )
  const port = Number(/:(\d+)$/.exec(coordinator.endpoint)![1])
  const proxies = await Promise.all(SITES.map(() => TcpProxy.open(port)))
  let hasEnded = false
  const lines: Disturbed = {
    proxies,
    folder,
    events,
    hasEnded: () => hasEnded,
    async waitFor(matches) {
      while (!events.some(matches)) {
        if (hasEnded) throw new Error('the run ended before that')
        await new Promise<void>((resolve) => {
          listeners.add(resolve)
        })
        listeners.clear()
      }
    },
  }
  try {
    const sites = SITES.map((site, i) =>
      joinFederation(
        {
          invite: coordinator.invites[i]!.invite.replace(/:\d+\//, `:${proxies[i]!.port}/`),
          folder: path.join(folder, site),
          describe: async () => describeTinySite(site),
          createTrainer: async () => createTinyTrainer(site, { delayMs: 10 }),
          events: () => undefined,
          signal: stop.signal,
        },
        { timing, at: (point) => at?.(point, site, proxies[i]!) },
      ),
    )
    for (const site of sites) site.catch(() => undefined)
    const ended = coordinator.finished.finally(() => {
      hasEnded = true
    })
    const [result] = await Promise.all([ended, disturb(lines)])
    const ledger = readFileSync(path.join(folder, 'run', 'ledger.jsonl'), 'utf8')
      .trim()
      .split('\n')
    expect(verifyLedger(ledger, coordinator.signingPublic)).toEqual({ ok: true, rounds })
    for (const line of ledger) expect(JSON.parse(line).sites.map(({ site }: { site: string }) => site)).toEqual(SITES)
    return result.parametersSha256
  } finally {
    stop.abort()
    await coordinator.stop()
    await Promise.all(proxies.map((proxy) => proxy.close()))
  }
}

const begins =
  (round: number) =>
  (event: MeshflEvent): boolean =>
    event.type === 'round-started' && event.round === round
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

let expected: string
beforeAll(async () => {
  expected = await federate(async () => undefined)
})

test('lines that lose one packet in five, as stalls and resets, lose no round and count nothing twice', async () => {
  const random = createRandom(11, 'loss')
  const found = await federate(async ({ proxies, hasEnded }) => {
    while (!hasEnded()) {
      await pause(25)
      for (const proxy of proxies) {
        const draw = random.uniform()
        if (draw < 0.05) proxy.reset()
        else if (draw < 0.2) {
          proxy.stall()
          setTimeout(() => proxy.goOn(), 20 + 130 * random.uniform())
        }
      }
    }
    for (const proxy of proxies) proxy.goOn()
  })
  expect(found).toBe(expected)
})

test(`a partition of ${PARTITION_MS / 1000} s ends and the run goes on where it was`, async () => {
  const found = await federate(async ({ proxies, waitFor }) => {
    await waitFor(begins(4))
    for (const proxy of proxies) proxy.stall()
    await pause(PARTITION_MS)
    for (const proxy of proxies) proxy.goOn()
  })
  expect(found).toBe(expected)
})

test('connections that only one end believes in are found and made again', async () => {
  const found = await federate(async ({ proxies, waitFor }) => {
    await waitFor(begins(3))
    proxies[0]!.halfClose('site')
    await waitFor(begins(5))
    proxies[1]!.halfClose('coordinator')
    await waitFor(begins(7))
    for (const proxy of proxies) proxy.halfClose('coordinator')
  })
  expect(found).toBe(expected)
})

test('results whose connections are cut as they are accepted come again in another order, and count once', async () => {
  const found = await federate(async ({ proxies, waitFor }) => {
    for (let round = 1; round <= ROUNDS; round++) {
      await waitFor((event) => event.type === 'site-trained' && event.round === round)
      proxies[round % proxies.length]!.reset()
      proxies[(round + 1) % proxies.length]!.reset()
    }
  })
  expect(found).toBe(expected)
})

test('a goodbye that is lost with its connection is said again', async () => {
  let events: readonly MeshflEvent[] = []
  const found = await federate(
    async (lines) => {
      events = lines.events
    },
    { at: (point, _, line) => point === 'finished written' && line.reset() },
  )
  expect(found).toBe(expected)
  const last = SITES.map((site) => events.findLast((event) => event.type === 'site-state' && event.site === site))
  expect(last).toMatchObject(SITES.map((site) => ({ site, state: 'done' })))
})

test('a line of 1 kB/s is slow, and that is all', async () => {
  const slow = { ...TIMING, heartbeatMs: 5000, heartbeatTimeoutMs: 40_000, suspectMs: 15_000, leaseMs: 60_000 }
  const undisturbed = await federate(async () => undefined, { rounds: 2 })
  const found = await federate(
    async ({ proxies }) => {
      for (const proxy of proxies) proxy.bytesPerSecond = 1000
    },
    { rounds: 2, timing: { ...slow, pingMs: 5000, resendMs: 2000, probeMs: 500 } },
  )
  expect(found).toBe(undisturbed)
})
