import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { createRandom, StudySchema } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { createTinyTrainer, describeTinySite, joinFederation, parseInvite, verifyLedger } from '@meshfl/federation'
import { afterEach, expect, test } from 'vitest'
import type { SitesJob } from '../../cli/src/bench-federation/process-messages.js'
import { FederationProcess } from '../../cli/src/bench-federation/spawn-process.js'
import { createIdentity, loadIdentity } from '../../packages/federation/src/identity.js'
import { root, temporaryFolder } from './cli.js'
import { HostilePeer } from './fuzz/hostile-peer.js'
import { HostileSockets, SpoilingLine } from './fuzz/hostile-sockets.js'
import { TINY_MODEL } from './killed-federation.js'

/** Ten minutes are MESHFL_FUZZ_SECONDS=600 (docs/security.md). */
const SECONDS = Number(process.env.MESHFL_FUZZ_SECONDS ?? 60)
const SEED = Number(process.env.MESHFL_FUZZ_SEED ?? 1)
/** One a second: half of it training, half of it scoring. */
const ROUNDS = SECONDS
const STEP_MS = 500
const HONEST = ['site-1', 'site-22']
const HOSTILE = 'site-333'
/** Above what the coordinator has when its sites have joined. */
const MOST_BYTES = 256 << 20
const MOST_HEAP_BYTES = 16 << 20
const STUDY = { rounds: ROUNDS, model: TINY_MODEL, federation: { minSites: 3 } }
const ENTRY = path.join(root, 'cli/dist/federation-process.js')

const processes: FederationProcess[] = []
afterEach(async () => {
  for (const part of processes) part.kill()
  await Promise.all(processes.splice(0).map(({ ended }) => ended))
})

function start(): FederationProcess {
  const part = new FederationProcess(ENTRY)
  processes.push(part)
  return part
}

async function coordinate(folder: string): Promise<{ coordinator: FederationProcess; invites: string[] }> {
  const coordinator = start()
  mkdirSync(folder)
  const tell = ['log', 'round-started', 'site-state'] as const
  const bind = 'tcp://127.0.0.1:*'
  coordinator.begin({ type: 'coordinator', folder, bind, study: STUDY, sites: 5, tell: [...tell] })
  const { invites } = await coordinator.waitFor('started')
  return { coordinator, invites }
}

function join(folder: string, sites: string[], invites: string[], delayMs?: number): FederationProcess {
  const jobs: SitesJob['sites'] = sites.map((site, i) => ({
    site,
    invite: invites[i]!,
    folder: path.join(folder, site),
  }))
  const part = start()
  part.begin({ type: 'sites', sites: jobs, tell: [], ...(delayMs === undefined ? {} : { delayMs }) })
  return part
}

/** The model after each round, as the ledger has it. */
function models(run: string): string[] {
  const lines = readFileSync(path.join(run, 'ledger.jsonl'), 'utf8').trim().split('\n')
  return lines.map((line) => (JSON.parse(line) as { result: string }).result)
}

/** Resident bytes at most so far, as the system counts them. */
function peakOf({ child }: FederationProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return 1024 * Number(/VmHWM:\s+(\d+) kB/.exec(status)![1])
}

const isLinux = process.platform === 'linux'
const MILLION = 1e6

test.skipIf(!isLinux)(
  `${SECONDS} s of fuzz on every layer that can be reached change no bit of an honest run, and take bounded memory${isLinux ? '' : ' (skipped: memory is read from /proc)'}`,
  async () => {
    const folder = temporaryFolder('fuzz')
    const calm = await coordinate(path.join(folder, 'calm'))
    join(path.join(folder, 'calm-sites'), [...HONEST, HOSTILE], calm.invites)
    const expected = await calm.coordinator.waitFor('finished')

    const run = path.join(folder, 'run')
    const { coordinator, invites } = await coordinate(run)
    const invite = parseInvite(invites[0]!)
    const enrolment = new AbortController()
    const hostile = path.join(folder, HOSTILE)
    const enrolled = joinFederation({
      invite: invites[0]!,
      folder: hostile,
      describe: async () => describeTinySite(HOSTILE),
      createTrainer: async () => createTinyTrainer(HOSTILE),
      events: (event) => event.type === 'site-state' && event.state === 'online' && enrolment.abort(),
      signal: enrolment.signal,
    })
    await expect(enrolled).rejects.toMatchObject({ code: 'INTERRUPTED' })
    const identity = await loadIdentity(path.join(hostile, 'keys', 'site.json'))

    const peers: HostilePeer[] = []
    const random = (scope: string) => createRandom(SEED, 'fuzz', scope)
    const sockets = new HostileSockets(invite.port, random('sockets'))
    const line = new SpoilingLine(invite.port, random('line'))
    const layout = modelLayout(StudySchema.parse(STUDY).model)
    const member = { site: HOSTILE, identity, invite, isMember: true, layout, random: random('site') }
    const stranger = { ...member, site: 'site-4444', identity: createIdentity(), isMember: false }
    try {
      peers.push(new HostilePeer(member))
      peers.push(new HostilePeer({ ...stranger, invite: parseInvite(invites[3]!), random: random('stranger') }))
      const onLine = { invite: parseInvite(invites[4]!), random: random('on a bad line'), port: await line.open() }
      peers.push(new HostilePeer({ ...stranger, ...onLine }))
      join(folder, HONEST, invites.slice(1), STEP_MS)
      const begun: number[] = []
      let isOver = false
      coordinator.onSaid = (message) => {
        if (message.type === 'event' && message.event.type === 'round-started') begun.push(message.at)
        if (message.type === 'finished' || message.type === 'failed') isOver = true
      }
      while (begun.length === 0 && !isOver) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        peers[0]!.behave()
      }
      // When it begins, after each tenth, and in the last round.
      const memories = [await coordinator.memory()]
      let peak = 0
      while (!isOver) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        if (begun.length < ROUNDS) {
          if (begun.length >= (memories.length * ROUNDS) / 10) memories.push(await coordinator.memory())
          sockets.attack(3)
          for (const [i, messages] of [12, 6, 2].entries()) peers[i]!.attack(messages)
        } else {
          peers[0]!.behave()
          if (peak > 0) continue
          memories.push(await coordinator.memory())
          peak = peakOf(coordinator)
        }
      }
      const found = await coordinator.waitFor('finished')
      if (process.env.MESHFL_FUZZ_SECONDS) report()

      expect(found.parametersSha256).toBe(expected.parametersSha256)
      expect(models(run)).toEqual(models(path.join(folder, 'calm')))
      const ledger = readFileSync(path.join(run, 'ledger.jsonl'), 'utf8').trim().split('\n')
      expect(verifyLedger(ledger, invite.signingPublic)).toEqual({ ok: true, rounds: ROUNDS })
      expect(peak - memories[0]!.resident).toBeLessThan(MOST_BYTES)
      expect(memories.at(-1)!.heap - memories[0]!.heap).toBeLessThan(MOST_HEAP_BYTES)

      function report(): void {
        const times = begun
          .slice(1)
          .map((at, i) => at - begun[i]! - 2 * STEP_MS)
          .sort((a, b) => a - b)
        const figures = {
          seed: SEED,
          seconds: SECONDS,
          connections: Object.fromEntries(sockets.opened),
          messages: peers.map(({ sent, connections }) => ({ connections, ...Object.fromEntries(sent) })),
          spoiledChunks: line.spoiled,
          answers: peers.map(({ answers }) => Object.fromEntries(answers)),
          refusals: refusals(coordinator),
          megabytes: {
            resident: memories.map(({ resident }) => resident / MILLION),
            peak: peak / MILLION,
            heap: memories.map(({ heap }) => heap / MILLION),
          },
          roundMsBesideTheSites: { median: times[times.length >> 1], worst: times.at(-1) },
        }
        console.info(JSON.stringify(figures, null, 2))
      }
    } finally {
      sockets.close()
      line.close()
      await Promise.all(peers.map((peer) => peer.close()))
    }
  },
  (4 * SECONDS + 120) * 1000,
)

/** What the coordinator's log says of refusals, without names and numbers, and how often. */
function refusals({ said }: FederationProcess): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const message of said) {
    if (message.type !== 'event' || message.event.type !== 'log' || message.event.level !== 'warn') continue
    const more = /^(\d+) more refusals were not logged/.exec(message.event.message)
    const words = more ? 'not logged one by one' : message.event.message.replace(/\d+/g, 'N').slice(0, 100)
    counts[words] = (counts[words] ?? 0) + Number(more?.[1] ?? 1)
  }
  return counts
}
