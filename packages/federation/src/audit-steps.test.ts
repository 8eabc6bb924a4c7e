import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type MeshflEvent, openEventLog, sha256 } from '@meshfl/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type AuditOptions, auditRun } from './audit.js'
import { loadIdentity } from './identity.js'
import { type LedgerEntry, NO_PREVIOUS, signUpdate, writeLedgerLine } from './ledger.js'
import { describeFake, LAYOUT, Loopback, randomModel, TINY_OPTIMIZER } from './loopback.fixture.js'

let loopback: Loopback
const copies: string[] = []

/** Two rounds of three steps; site-22 has volumes for two of them. */
beforeAll(async () => {
  const federation = { sync: 'step', keepUpdates: true }
  loopback = new Loopback(2, { rounds: 2, recipe: { batchSize: 1 }, federation })
  const log = openEventLog(join(loopback.run, 'events.jsonl'))
  const events = (event: MeshflEvent): void => log.write(event)
  const coordinator = await loopback.start({ events, stepOptimizer: TINY_OPTIMIZER })
  for (const [site, trainCases] of [
    ['site-1', 3],
    ['site-22', 2],
  ] as const)
    loopback.join(site, { describe: async () => describeFake(site, { trainCases }) })
  await coordinator.finished
  log.close()
})

afterAll(async () => {
  for (const copy of copies) rmSync(copy, { recursive: true, force: true })
  await loopback.close()
})

function options(folder: string): AuditOptions {
  const initialModel = randomModel('initial')
  return { folder, study: loopback.study, layout: LAYOUT, initialModel, stepOptimizer: TINY_OPTIMIZER }
}

async function copyOfRun(): Promise<string> {
  const copy = mkdtempSync(join(tmpdir(), 'meshfl-audit-'))
  copies.push(copy)
  await cp(loopback.run, copy, { recursive: true })
  return copy
}

type SiteEntry = LedgerEntry['sites'][number]

/** A coordinator that writes its own ledger anew, with its key, from a step on. */
async function rewriteLedger(
  copy: string,
  step: number,
  change: (site: SiteEntry, entry: LedgerEntry) => SiteEntry | Promise<SiteEntry>,
  other: Partial<LedgerEntry> = {},
): Promise<void> {
  const identity = await loadIdentity(join(copy, 'keys', 'coordinator.json'))
  const path = join(copy, 'ledger.jsonl')
  const lines: string[] = []
  for (const line of readFileSync(path, 'utf8').trim().split('\n')) {
    const { signature: _, ...entry } = JSON.parse(line) as LedgerEntry
    const previous = lines.length === 0 ? NO_PREVIOUS : sha256(lines.at(-1)!)
    const [first, ...others] = entry.sites
    const sites = entry.round === step ? [await change(first!, entry as LedgerEntry), ...others] : entry.sites
    lines.push(writeLedgerLine(identity, { ...entry, ...(entry.round === step ? other : {}), sites, previous }))
  }
  writeFileSync(path, `${lines.join('\n')}\n`)
}

test('every step is computed again to the bit from the gradients that were kept and the ledger', async () => {
  expect(await auditRun(options(loopback.run))).toMatchObject({ ok: true, rounds: 6, replayed: 6 })
  const entries = readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as LedgerEntry)
  expect(entries.map(({ steps }) => steps)).toEqual([3, 3, 3, 3, 3, 3])
  expect(entries.flatMap(({ sites }) => sites.map(({ voxels }) => voxels))).toEqual(Array(10).fill(1000))
})

test('a changed gradient is named with its step', async () => {
  const copy = await copyOfRun()
  const path = join(copy, 'updates', '0005.safetensors')
  const bytes = readFileSync(path)
  bytes[bytes.length - 3]! ^= 1
  writeFileSync(path, bytes)
  expect(await auditRun(options(copy))).toMatchObject({
    ok: false,
    rounds: 4,
    problem: { round: 5, what: expect.stringMatching(/the update of site-\d+ that was kept is not the ledger’s/) },
  })
})

test('the model of another round is not that of the round whose file it is in, though a step had it', async () => {
  const copy = await copyOfRun()
  const first = join(copy, 'rounds', '0001.safetensors')
  expect(await auditRun(options(copy))).toMatchObject({ ok: true, models: 2 })
  await cp(first, join(copy, 'rounds', '0002.safetensors'))
  expect(await auditRun(options(copy))).toMatchObject({
    ok: false,
    rounds: 5,
    problem: { round: 6, what: 'rounds/0002.safetensors is not the model that the ledger names' },
  })
  await cp(join(loopback.run, 'rounds', '0002.safetensors'), first)
  expect(await auditRun(options(copy))).toMatchObject({ ok: false, rounds: 2, problem: { round: 3 } })
})

test('with a step an exchange latest and best are compared with rounds, and a file for each step is of none', async () => {
  for (const name of ['latest', 'best']) {
    const copy = await copyOfRun()
    const path = join(copy, `${name}.safetensors`)
    const other = name === 'latest' || readFileSync(path).includes('"meshfl.round":"2"') ? '0001' : '0002'
    await cp(join(copy, 'rounds', `${other}.safetensors`), path)
    expect(await auditRun(options(copy))).toMatchObject({
      ok: false,
      problem: { what: expect.stringMatching(`${name}.safetensors is not the model.*but of round ${Number(other)}`) },
    })
  }
  const copy = await copyOfRun()
  await cp(join(copy, 'rounds', '0002.safetensors'), join(copy, 'rounds', '0003.safetensors'))
  expect(await auditRun(options(copy))).toMatchObject({
    ok: false,
    rounds: 6,
    problem: { round: 9, what: expect.stringMatching(/rounds\/0003.safetensors is of no round/) },
  })
})

test('a ledger whose rounds change their number of steps is none', async () => {
  const copy = await copyOfRun()
  await rewriteLedger(copy, 4, (site) => site, { steps: 2 })
  expect(await auditRun(options(copy))).toMatchObject({
    ok: false,
    rounds: 3,
    problem: { round: 4, what: 'its rounds have another number of steps than those before' },
  })
})

test('a count of voxels that a coordinator changed in its own ledger is not what its site signed', async () => {
  const copy = await copyOfRun()
  await rewriteLedger(copy, 2, (site) => ({ ...site, voxels: 999 }))
  expect(await auditRun(options(copy))).toMatchObject({
    ok: false,
    rounds: 1,
    problem: { round: 2, what: 'line 2: the signature of site-1 is wrong' },
  })
})

test('a count of voxels that site and coordinator changed together gives another model', async () => {
  const copy = await copyOfRun()
  const identity = await loadIdentity(join(loopback.siteFolder('site-1'), 'keys', 'site.json'))
  await rewriteLedger(copy, 2, (site, { run, round, base }) => {
    const changed = { ...site, voxels: 999 }
    return { ...changed, signature: signUpdate(identity, { ...changed, run, round, base }) }
  })
  expect(await auditRun(options(copy))).toMatchObject({
    ok: false,
    rounds: 1,
    problem: { round: 2, what: 'the optimiser makes another model of the updates than the ledger names' },
  })
})

test('steps of an earlier version, whose voxels no site signed, are verified, and said not to be computed again', async () => {
  const copy = await copyOfRun()
  const identity = await loadIdentity(join(loopback.siteFolder('site-1'), 'keys', 'site.json'))
  await rewriteLedger(copy, 4, ({ voxels: _, ...site }, { run, round, base }) => ({
    ...site,
    signature: signUpdate(identity, { ...site, run, round, base }),
  }))
  expect(await auditRun(options(copy))).toMatchObject({
    ok: true,
    rounds: 6,
    replayed: 3,
    note: 'from step 4 on nothing was computed again: site-1 did not sign its voxels of step 4, as sites of an earlier version',
  })
})
