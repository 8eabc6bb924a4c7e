import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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
  await cp(join(loopback.run, 'state', 'log.a'), join(loopback.folder, 'first-log'))
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

function cutLedger(copy: string, lines: number): void {
  const path = join(copy, 'ledger.jsonl')
  const all = readFileSync(path, 'utf8').trim().split('\n')
  writeFileSync(path, `${all.slice(0, -lines).join('\n')}\n`)
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

test('a run that is no federation’s has nothing to audit, and says so', async () => {
  const copy = await copyOfRun()
  for (const name of ['keys', 'ledger.jsonl', 'state']) rmSync(join(copy, name), { recursive: true })
  await expect(auditRun(options(copy))).rejects.toMatchObject({ code: 'RUN_NOT_FEDERATED' })
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
    'a ledger that lost its last line, and the log too,',
    (copy) => {
      cutLedger(copy, 1)
      rmSync(join(copy, 'state'), { recursive: true })
    },
    { round: 3, what: /the ledger has nothing of it.*audit the whole folder/ },
  ],
  [
    'a ledger that lost its last line, and whose log is of a start before that,',
    (copy) => {
      cutLedger(copy, 1)
      const log = join(copy, 'state', 'log')
      for (const name of ['a', 'b']) rmSync(`${log}.${name}`)
      writeFileSync(`${log}.a`, readFileSync(join(loopback.folder, 'first-log')))
    },
    { round: 3, what: /the ledger has nothing of it; it is in events.jsonl, and not in state\/log either/ },
  ],
  [
    'a ledger that lost more than the log has',
    (copy) => cutLedger(copy, 2),
    { round: 2, what: /the ledger has nothing of it; it is before those in state\/log/ },
  ],
  [
    'a changed model of a round',
    (copy) => flipByte(join(copy, 'rounds', '0002.safetensors'), -3),
    { round: 2, what: /rounds\/0002.safetensors is not the model/ },
  ],
  [
    'the model of another round as the latest',
    (copy) => cpSync(join(copy, 'rounds', '0001.safetensors'), join(copy, 'latest.safetensors')),
    { round: 3, what: /latest.safetensors is not the model of the last round that the ledger .* has, but of round 1/ },
  ],
  [
    'the model of another round as the latest, without the log,',
    (copy) => {
      rmSync(join(copy, 'state'), { recursive: true })
      cpSync(join(copy, 'rounds', '0001.safetensors'), join(copy, 'latest.safetensors'))
    },
    { round: 3, what: /latest.safetensors is not the model of the last round that the ledger has, but of round 1/ },
  ],
  [
    'the model of another round as the best',
    (copy) => cpSync(join(copy, 'rounds', '0001.safetensors'), join(copy, 'best.safetensors')),
    {
      round: 2,
      what: /best.safetensors is not the model of round 2, which state\/log names as the best, but of round 1/,
    },
  ],
  [
    'a latest model that is none',
    (copy) => writeFileSync(join(copy, 'latest.safetensors'), ''),
    { round: 3, what: /latest.safetensors is not the model/ },
  ],
  [
    'a model of a round that the ledger does not have',
    (copy) => cpSync(join(copy, 'rounds', '0003.safetensors'), join(copy, 'rounds', '0004.safetensors')),
    { round: 4, what: /rounds\/0004.safetensors is of no round/ },
  ],
  [
    'a model in rounds/ with another name',
    (copy) => cpSync(join(copy, 'rounds', '0003.safetensors'), join(copy, 'rounds', 'final.safetensors')),
    { round: 4, what: /rounds\/final.safetensors is of no round/ },
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

test('a ledger whose last line is not there, or half there, and in the log is right, and the line is said to be due', async () => {
  const note =
    'committed (state/log) and not written yet: round 3 in ledger.jsonl; the coordinator does that a moment later, or at its next start'
  const copy = await copyOfRun()
  cutLedger(copy, 1)
  expect(await auditRun(options(copy))).toMatchObject({ ok: true, rounds: 2, replayed: 2, note })
  const half = readFileSync(join(loopback.run, 'ledger.jsonl')).subarray(0, -200)
  writeFileSync(join(copy, 'ledger.jsonl'), half)
  expect(await auditRun(options(copy))).toMatchObject({ ok: true, rounds: 2, replayed: 2, note })
})

test('a line of the log that does not follow the ledger is no round of it', async () => {
  const copy = await copyOfRun()
  cutLedger(copy, 1)
  const plain = new Loopback(2, { federation: { strategy: 'fedadam', keepUpdates: true } })
  await cp(join(loopback.run, 'keys'), join(plain.run, 'keys'), { recursive: true })
  const coordinator = await plain.start()
  plain.join('site-1')
  plain.join('site-2')
  await coordinator.finished
  await plain.stopAll()
  for (const name of ['log.a', 'log.b']) await cp(join(plain.run, 'state', name), join(copy, 'state', name))
  await plain.close()
  expect(await auditRun(options(copy))).toMatchObject({
    ok: false,
    rounds: 2,
    problem: { round: 3, what: 'line 3: it does not follow the line before (state/log)' },
  })
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

test('a run that goes on is right whenever it is audited', async () => {
  const going = new Loopback(2, { rounds: 30 })
  const log = openEventLog(join(going.run, 'events.jsonl'))
  const coordinator = await going.start({ events: (event: MeshflEvent) => log.write(event) })
  going.join('site-1')
  going.join('site-2')
  let isOver = false
  const finished = coordinator.finished.finally(() => {
    isOver = true
  })
  const problems: unknown[] = []
  let notes = 0
  while (!isOver) {
    const { ok, problem, note } = await auditRun({ ...options(going.run), study: going.study })
    if (!ok) problems.push(problem)
    if (note !== undefined) notes += 1
    await new Promise((resolve) => setTimeout(resolve, 3))
  }
  await finished
  log.close()
  expect(problems).toEqual([])
  expect(notes).toBeGreaterThan(0)
  const verdict = await auditRun({ ...options(going.run), study: going.study })
  expect(verdict).toMatchObject({ ok: true, rounds: 30, models: 30 })
  expect(verdict.note).toBeUndefined()
  await going.close()
})

/** A run that was killed when an event of round 2 was told, before the files that follow from it were written. */
async function killedAt(type: 'update-applied' | 'best'): Promise<Loopback> {
  const killed = new Loopback(1)
  const log = openEventLog(join(killed.run, 'events.jsonl'))
  let isTold = false
  const coordinator = await killed.start(
    {
      events(event: MeshflEvent) {
        log.write(event)
        if (event.type === type && event.round === 2) isTold = true
      },
    },
    {
      at(point) {
        if (point === 'before derive' && isTold) throw new Error('killed')
      },
    },
  )
  killed.join('site-1', { delayMs: 300 }) // files follow 50 ms after a commit: those of round 1 are there
  await expect(coordinator.finished).rejects.toThrow('killed')
  await killed.stopAll()
  log.close()
  return killed
}

test('a run that was killed between a commit and its files is right, and what is due is named until the next start has written it', async () => {
  const killed = await killedAt('update-applied')
  const audit = { ...options(killed.run), study: killed.study }
  expect(killed.ledgerLines()).toHaveLength(1)
  expect(await auditRun(audit)).toMatchObject({
    ok: true,
    rounds: 1,
    models: 1,
    note: expect.stringMatching(/not written yet: round 2 in ledger.jsonl, latest.safetensors \(of round 1\);/),
  })
  // As after a power cut: the name came to the disk, and the bytes did not.
  writeFileSync(join(killed.run, 'latest.safetensors'), '')
  writeFileSync(join(killed.run, 'rounds', '0002.safetensors'), '')
  expect(await auditRun(audit)).toMatchObject({
    ok: true,
    note: expect.stringMatching(/rounds\/0002.safetensors \(holds no model\), latest.safetensors \(holds no model\);/),
  })
  await killed.start()
  await killed.stopAll()
  const verdict = await auditRun(audit)
  expect(verdict).toMatchObject({ ok: true, rounds: 2, models: 2 })
  expect(verdict.note).toBeUndefined()
  await killed.close()
})

test('a run that was killed before its new best model was written is right, and another model in its place is not', async () => {
  const killed = await killedAt('best')
  const audit = { ...options(killed.run), study: killed.study }
  expect(await auditRun(audit)).toMatchObject({
    ok: true,
    note: expect.stringMatching(/not written yet: best.safetensors \(of round 1\);/),
  })
  for (const name of ['best.safetensors', 'latest.safetensors']) {
    const path = join(killed.run, name)
    const bytes = readFileSync(path)
    flipByte(path, -3)
    expect(await auditRun(audit)).toMatchObject({ ok: false, problem: { round: 2, what: expect.stringMatching(name) } })
    writeFileSync(path, bytes)
  }
  await killed.close()
})

test('without the log a best model that events.jsonl does not name is said to be another, one of no round is refused', async () => {
  const copy = await copyOfRun()
  rmSync(join(copy, 'state'), { recursive: true })
  expect((await auditRun(options(copy))).note).toBeUndefined()
  await cp(join(copy, 'rounds', '0001.safetensors'), join(copy, 'best.safetensors'))
  expect(await auditRun(options(copy))).toMatchObject({
    ok: true,
    note: 'best.safetensors is of round 1, events.jsonl names round 2',
  })
  flipByte(join(copy, 'best.safetensors'), -3)
  expect(await auditRun(options(copy))).toMatchObject({
    ok: false,
    problem: { round: 2, what: 'best.safetensors is not the model of round 2, which events.jsonl names as the best' },
  })
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
