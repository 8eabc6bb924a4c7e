import { cpSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verifyLedger } from './ledger.js'
import { Loopback } from './loopback.fixture.js'

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
  expect(readdirSync(join(loopback.run, 'journal'))).toEqual([])
}

async function withCoordinatorCrash(point: string, occurrence: number): Promise<void> {
  const loopback = beginAnew()
  const crash = crashAt(point, occurrence)
  const first = await loopback.start({}, crash)
  for (const site of SITES) inviteFor(loopback, site)
  const sites = SITES.map((site) => loopback.join(site))
  await expect(first.finished).rejects.toThrow(`crash at ${point}`)
  await first.stop()
  const second = await loopback.start()
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
