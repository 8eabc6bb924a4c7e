import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cp, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeSafetensors, encodeSafetensors, type MeshflEvent, openEventLog } from '@meshfl/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type AuditOptions, auditRun } from './audit.js'
import { createIdentity } from './identity.js'
import { LAYOUT, Loopback, randomModel } from './loopback.fixture.js'

let loopback: Loopback
let signingPublic: Uint8Array
const copies: string[] = []

/** A federation of two sites that keeps its updates and has a server optimiser, with its log as the command line writes it. */
beforeAll(async () => {
  loopback = new Loopback(2, { federation: { strategy: 'fedadam', keepUpdates: true } })
  const log = openEventLog(join(loopback.run, 'events.jsonl'))
  const coordinator = await loopback.start({ events: (event: MeshflEvent) => log.write(event) })
  loopback.join('site-1')
  loopback.join('site-2')
  await coordinator.finished
  log.close()
  signingPublic = coordinator.signingPublic
})

afterAll(async () => {
  for (const copy of copies) rmSync(copy, { recursive: true, force: true })
  await loopback.close()
})

function options(folder: string): AuditOptions {
  return { folder, study: loopback.study, layout: LAYOUT, initialModel: randomModel('initial') }
}

/** A copy of the run in which a test may change what it likes. */
async function copyOfRun(): Promise<string> {
  const copy = mkdtempSync(join(tmpdir(), 'meshfl-audit-'))
  copies.push(copy)
  await cp(loopback.run, copy, { recursive: true })
  return copy
}

function flipByte(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at < 0 ? bytes.length + at : at]! ^= 1
  writeFileSync(path, bytes)
}

test('every round of a run is verified, its model found and computed again from the updates that were kept', async () => {
  expect(await auditRun(options(loopback.run))).toEqual({
    ok: true,
    rounds: 3,
    replayed: 3,
    models: 3,
    signingPublic: Buffer.from(signingPublic),
  })
  const updates = join(loopback.run, 'updates', '0001.safetensors')
  expect((await stat(updates)).mode & 0o777).toBe(0o600)
})

test('with the coordinator’s key from elsewhere the keys of the folder are not needed, and another key is refused', async () => {
  const copy = await copyOfRun()
  rmSync(join(copy, 'keys'), { recursive: true })
  await expect(auditRun(options(copy))).rejects.toMatchObject({ code: 'LEDGER_KEY_MISSING' })
  expect(await auditRun({ ...options(copy), signingPublic })).toMatchObject({ ok: true, rounds: 3 })
  const other = createIdentity().signingPublic
  expect(await auditRun({ ...options(copy), signingPublic: other })).toMatchObject({
    ok: false,
    rounds: 0,
    problem: { round: 1, what: expect.stringMatching(/the coordinator’s signature is wrong/) },
  })
})

test.each<[string, (copy: string) => void, { round: number; what: RegExp }]>([
  [
    'a changed line of the ledger',
    (copy) => {
      const path = join(copy, 'ledger.jsonl')
      flipByte(path, readFileSync(path, 'utf8').indexOf('"samples"', readFileSync(path, 'utf8').indexOf('\n')) + 10)
    },
    { round: 2, what: /line 2: the coordinator’s signature is wrong/ },
  ],
  [
    'a ledger that lost its last line',
    (copy) => {
      const path = join(copy, 'ledger.jsonl')
      const lines = readFileSync(path, 'utf8').trim().split('\n')
      writeFileSync(path, `${lines.slice(0, -1).join('\n')}\n`)
    },
    { round: 3, what: /the ledger has nothing of it/ },
  ],
  [
    'a changed model of a round',
    (copy) => flipByte(join(copy, 'rounds', '0002.safetensors'), -3),
    { round: 2, what: /rounds\/0002.safetensors is not the model/ },
  ],
  [
    'a changed update of a site',
    (copy) => flipByte(join(copy, 'updates', '0003.safetensors'), -3),
    { round: 3, what: /the update of site-\d that was kept is not the ledger’s/ },
  ],
])('%s is named with its round', async (_, spoil, { round, what }) => {
  const copy = await copyOfRun()
  spoil(copy)
  const verdict = await auditRun(options(copy))
  expect(verdict).toMatchObject({ ok: false, rounds: round - 1, problem: { round } })
  expect(verdict.problem!.what).toMatch(what)
})

test('the ledger of one study is not that of another, nor of another initial model', async () => {
  const study = { ...loopback.study, seed: 9 }
  expect(await auditRun({ ...options(loopback.run), study })).toMatchObject({
    ok: false,
    problem: { round: 1, what: expect.stringMatching(/another study/) },
  })
  expect(await auditRun({ ...options(loopback.run), initialModel: randomModel('other') })).toMatchObject({
    ok: false,
    problem: { what: expect.stringMatching(/initial model/) },
  })
})

test('rounds whose updates are not there are verified, and it is said that they were not computed again', async () => {
  const copy = await copyOfRun()
  rmSync(join(copy, 'updates', '0002.safetensors'))
  expect(await auditRun(options(copy))).toMatchObject({
    ok: true,
    rounds: 3,
    replayed: 1,
    note: 'the updates of round 2 are not there',
  })
})

test('updates that an earlier version kept, which counted the volumes of all sites together, are computed again too', async () => {
  const copy = await copyOfRun()
  for (const round of [1, 2, 3]) {
    const path = join(copy, 'updates', `000${round}.safetensors`)
    const { tensors, metadata } = decodeSafetensors(readFileSync(path), path)
    expect(JSON.parse(metadata.population!)).toEqual([
      ['site-1', 20],
      ['site-2', 20],
    ])
    writeFileSync(path, encodeSafetensors({ tensors, metadata: { ...metadata, population: '40' } }))
  }
  expect(await auditRun(options(copy))).toMatchObject({ ok: true, rounds: 3, replayed: 3 })
})

test('no update is kept where the study does not say so', async () => {
  const plain = new Loopback(1)
  const coordinator = await plain.start()
  plain.join('site-1')
  await coordinator.finished
  await expect(stat(join(plain.run, 'updates'))).rejects.toMatchObject({ code: 'ENOENT' })
  const verdict = await auditRun({ ...options(plain.run), study: plain.study })
  expect(verdict).toMatchObject({ ok: true, rounds: 3, replayed: 0 })
  await plain.close()
})
