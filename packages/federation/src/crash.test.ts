import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MeshflEvent, SiteTrainer } from '@meshfl/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyLedger } from './ledger.js'
import { createFakeTrainer, Loopback, until } from './loopback.fixture.js'

const SITES = ['site-1', 'site-22'] as const
const open: Loopback[] = []
let reference: Loopback
let hash: string
let ledger: string

async function finishAll(loopback: Loopback): Promise<string> {
  const coordinator = await loopback.start()
  const sites = SITES.map((site) => loopback.join(site))
  const [result] = await Promise.all([coordinator.finished, ...sites.map(({ finished }) => finished)])
  return result.parametersSha256
}

beforeAll(async () => {
  reference = new Loopback(2)
  open.push(reference)
  hash = await finishAll(reference)
  ledger = readFileSync(join(reference.run, 'ledger.jsonl'), 'utf8')
  expect(verifyLedger(ledger.trim().split('\n'), reference.coordinator.signingPublic)).toEqual({ ok: true, rounds: 3 })
})

afterAll(() => Promise.all(open.map((loopback) => loopback.close())))

/** The reference's keys and approved sites in a new folder: the same run, not yet begun. */
function beginAnew(): Loopback {
  const loopback = new Loopback(2)
  open.push(loopback)
  cpSync(join(reference.run, 'keys'), join(loopback.run, 'keys'), { recursive: true })
  cpSync(join(reference.run, 'sites.json'), join(loopback.run, 'sites.json'))
  for (const site of SITES) {
    cpSync(join(reference.siteFolder(site), 'keys'), join(loopback.siteFolder(site), 'keys'), { recursive: true })
  }
  return loopback
}

/** Throws at the n-th time that a point is reached. */
function crashAt(point: string, occurrence: number): { at(point: string): void; happened(): boolean } {
  let seen = 0
  return {
    at(reached) {
      if (reached === point && ++seen === occurrence) throw new Error(`crash at ${point}`)
    },
    happened: () => seen >= occurrence,
  }
}

/** Sites keep the port: their invite names it. */
function inviteFor(loopback: Loopback, site: string): void {
  const { port } = new URL(loopback.coordinator.endpoint.replace('tcp', 'http'))
  const invite = reference.invites.get(site)!
  loopback.invites.set(site, invite.replace(/:(\d+)\//, `:${port}/`))
}

function expectSame(loopback: Loopback, parametersSha256: string): void {
  expect(parametersSha256).toBe(hash)
  expect(readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8')).toBe(ledger)
  for (const name of ['latest.safetensors', 'best.safetensors', 'rounds/0001.safetensors', 'rounds/0003.safetensors']) {
    expect(readFileSync(join(loopback.run, name)).equals(readFileSync(join(reference.run, name)))).toBe(true)
  }
}

/** The trainer of site-22, which ends a round when the coordinator has site-1's result, or has crashed. */
function secondTrainer(loopback: Loopback, hasCrashed: () => boolean): SiteTrainer {
  // Files follow 50 ms after a commit: shorter rounds would share them.
  const trainer = createFakeTrainer('site-22', { delayMs: 100 })
  return {
    ...trainer,
    async train(task) {
      const isAccepted = (event: MeshflEvent): boolean =>
        event.type === 'site-trained' && event.site === 'site-1' && event.round === task.round
      await until(() => task.signal.aborted || hasCrashed() || loopback.events.some(isAccepted), 30_000)
      return trainer.train(task)
    },
  }
}

async function withCoordinatorCrash(point: string, occurrence: number): Promise<void> {
  const loopback = beginAnew()
  const crash = crashAt(point, occurrence)
  const first = await loopback.start({}, crash)
  for (const site of SITES) inviteFor(loopback, site)
  // One of them after the other: what comes together is kept by the commit alone.
  const sites = [
    loopback.join('site-1'),
    loopback.join('site-22', { createTrainer: async () => secondTrainer(loopback, crash.happened) }),
  ]
  await expect(first.finished).rejects.toThrow(`crash at ${point}`)
  await first.stop()
  // A run whose rounds are all done waits for its sites: on a busy machine they take longer than tests wait elsewhere.
  const second = await loopback.start({}, { timing: { leaseMs: 30_000 } })
  const [result] = await Promise.all([second.finished, ...sites.map(({ finished }) => finished)])
  expect(crash.happened()).toBe(true)
  expectSame(loopback, result.parametersSha256)
}

async function withSiteCrash(point: string, occurrence: number): Promise<void> {
  const loopback = beginAnew()
  const crash = crashAt(point, occurrence)
  const coordinator = await loopback.start()
  for (const site of SITES) inviteFor(loopback, site)
  const other = loopback.join('site-22')
  const first = loopback.join('site-1', {}, crash)
  await expect(first.finished).rejects.toThrow(`crash at ${point}`)
  const second = loopback.join('site-1')
  const [result, again] = await Promise.all([coordinator.finished, second.finished, other.finished])
  expect(again.parametersSha256).toBe(hash)
  expectSame(loopback, result.parametersSha256)
}

test.each([
  'before task',
  'before ack',
  'before journal',
  'journal written',
  'before commit',
  'commit written',
  'before derive',
  'derived',
  'before record',
  'record written',
  'before done',
])('a coordinator that dies %s ends with the model and the ledger of an undisturbed run', async (point) => {
  await Promise.all((point === 'before done' ? [1, 2] : [1, 2, 3]).map((n) => withCoordinatorCrash(point, n)))
})

test.each(['before start', 'before save', 'result written', 'before send-result', 'finished written'])(
  'a site that dies %s ends with the model and the ledger of an undisturbed run',
  async (point) => {
    await Promise.all((point === 'finished written' ? [1] : [1, 2, 3]).map((n) => withSiteCrash(point, n)))
  },
)
