import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { CoordinatorStore } from './coordinator-store.js'
import { DurableLog } from './durable-log.js'
import { verifyLedger } from './ledger.js'
import { LAYOUT, Loopback } from './loopback.fixture.js'
import { PatientWrites } from './patient-writes.js'

const SITES = ['site-1', 'site-22'] as const
const open: Loopback[] = []
afterAll(() => Promise.all(open.map((loopback) => loopback.close())))

function begin(federation: Record<string, unknown>): Loopback {
  const loopback = new Loopback(2, { federation })
  open.push(loopback)
  return loopback
}

/** The keys and approved sites of a run in a new folder: the same run, not yet begun. */
function beginAnew(reference: Loopback, federation: Record<string, unknown>): Loopback {
  const loopback = begin(federation)
  cpSync(join(reference.run, 'keys'), join(loopback.run, 'keys'), { recursive: true })
  cpSync(join(reference.run, 'sites.json'), join(loopback.run, 'sites.json'))
  for (const site of SITES)
    cpSync(join(reference.siteFolder(site), 'keys'), join(loopback.siteFolder(site), 'keys'), { recursive: true })
  return loopback
}

/** Sites keep the port: their invite names it. */
function inviteAll(reference: Loopback, loopback: Loopback): void {
  const { port } = new URL(loopback.coordinator.endpoint.replace('tcp', 'http'))
  for (const site of SITES) loopback.invites.set(site, reference.invites.get(site)!.replace(/:(\d+)\//, `:${port}/`))
}

/** Throws at the n-th time that a point is reached. */
function crashAt(point: string, occurrence: number): { at(point: string): void } {
  let seen = 0
  return {
    at(reached) {
      if (reached === point && ++seen === occurrence) throw new Error(`crash at ${point}`)
    },
  }
}

const patience = new PatientWrites({ tell: () => undefined, retryMs: 1 })

/** The server's optimiser as the last commit has it. */
async function serverState(loopback: Loopback): Promise<string> {
  const { store, saved } = await CoordinatorStore.open(loopback.run, LAYOUT, patience)
  await store.close()
  return Buffer.from(saved!.commits.at(-1)!.state ?? []).toString('base64')
}

/** What a run has in the end, as text that can be compared. */
async function endOf(loopback: Loopback): Promise<Record<string, string | null>> {
  const end: Record<string, string | null> = { server: await serverState(loopback) }
  const files = ['run/ledger.jsonl', 'run/latest.safetensors', ...SITES.map((site) => `${site}/own.safetensors`)]
  for (const path of files) {
    const file = join(loopback.folder, path)
    end[path] = existsSync(file) ? readFileSync(file, 'latin1') : null
  }
  for (const site of SITES) {
    const { log, records } = await DurableLog.open(join(loopback.siteFolder(site), 'state', 'round'), {
      patience,
      growthBytes: 1 << 16,
    })
    await log.close()
    end[site] = Buffer.from(records.at(-1)!.bytes).toString('latin1')
  }
  return end
}

/** Nobody is given up: on a busy machine the sites of one process are silent for longer than tests wait elsewhere. */
const PATIENT = { timing: { leaseMs: 30_000 } }

describe.each([
  { strategy: 'fedadam' },
  { strategy: 'scaffold' },
  { strategy: 'fedbn' },
  { strategy: 'meshfl-reference' },
])('$strategy', (federation) => {
  test('killed anywhere, model, server state, site state and ledger end with the same bytes', async () => {
    const reference = begin(federation)
    const coordinator = await reference.start()
    await Promise.all([coordinator.finished, ...SITES.map((site) => reference.join(site).finished)])
    const expected = await endOf(reference)
    const lines = expected['run/ledger.jsonl']!.trim().split('\n')
    expect(verifyLedger(lines, reference.coordinator.signingPublic)).toEqual({ ok: true, rounds: 3 })

    const atCoordinator = async (point: string, occurrence: number): Promise<void> => {
      const loopback = beginAnew(reference, federation)
      const first = await loopback.start({}, { ...crashAt(point, occurrence), ...PATIENT })
      inviteAll(reference, loopback)
      const sites = SITES.map((site) => loopback.join(site))
      await expect(first.finished).rejects.toThrow(`crash at ${point}`)
      await first.stop()
      const second = await loopback.start({}, PATIENT)
      await Promise.all([second.finished, ...sites.map(({ finished }) => finished)])
      expect(await endOf(loopback)).toEqual(expected)
    }
    const atSite = async (point: string, occurrence: number): Promise<void> => {
      const loopback = beginAnew(reference, federation)
      const running = await loopback.start({}, PATIENT)
      inviteAll(reference, loopback)
      const other = loopback.join('site-22')
      await expect(loopback.join('site-1', {}, crashAt(point, occurrence)).finished).rejects.toThrow('crash at')
      await Promise.all([running.finished, loopback.join('site-1').finished, other.finished])
      expect(await endOf(loopback)).toEqual(expected)
    }
    await Promise.all([
      atCoordinator('before commit', 2),
      atCoordinator('commit written', 1),
      atCoordinator('record written', 2),
      atSite('before save', 2),
      atSite('result written', 2),
      atSite('before start', 4),
    ])
  })
})

test('the coordinator refuses to start with too few sites for its strategy', async () => {
  const loopback = begin({ strategy: 'krum' })
  await expect(loopback.start()).rejects.toMatchObject({
    code: 'STRATEGY_TOO_FEW_SITES',
    message: expect.stringMatching(/krum cannot work here: .*at least 2f \+ 3 = 5 updates a round, there may be 2/),
  })
})
