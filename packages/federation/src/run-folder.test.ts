import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { studySha256 } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { CoordinatorStore } from './coordinator-store.js'
import { isState, LAYOUT, Loopback, SILENT, until } from './loopback.fixture.js'
import { PatientWrites } from './patient-writes.js'

let loopback: Loopback
afterEach(() => loopback.close())

test('an update that was acknowledged stays on disk when the coordinator is stopped before the commit', async () => {
  loopback = new Loopback(2)
  await loopback.start({}, { at: (point) => point === 'before commit' && void loopback.coordinator.stop() })
  loopback.join('site-1')
  loopback.join('site-2', { delayMs: 300 })
  await expect(loopback.coordinator.finished).rejects.toMatchObject({ code: 'INTERRUPTED' })
  await loopback.coordinator.stop()
  const { store, saved } = await CoordinatorStore.open(loopback.run, LAYOUT, new PatientWrites(SILENT))
  expect(saved!.journal.map(({ round, site }) => [round, site])).toEqual([[1, 'site-1']])
  await store.close()
})

test('nothing is told before its caller knows that the coordinator has started, also when sites are there at once', async () => {
  loopback = new Loopback(1, { rounds: 2 })
  await loopback.start({}, { at: (point) => point === 'before record' && void loopback.coordinator.stop() })
  const site = loopback.join('site-1')
  await loopback.coordinator.finished.catch(() => undefined)
  await loopback.coordinator.stop()
  // It says HELLO at once when the next one is there, and does not ask it on the new connection as it asked on the old one.
  await until(() => loopback.siteEvents.get('site-1')!.some(isState('site-1', 'joining')))
  loopback.events.length = 0
  const coordinator = await loopback.start()
  expect(loopback.events).toEqual([])
  await Promise.all([coordinator.finished, site.finished])
  const [first] = loopback.events.filter(({ type }) => type !== 'traffic') // bytes are told by the clock
  expect(first).toMatchObject({ type: 'site-state', site: 'site-1', state: 'online' })
  expect(loopback.logs('warn')).toEqual([])
  expect(loopback.events).toContainEqual({
    type: 'site-state',
    site: 'site-1',
    state: 'done',
    time: expect.any(String),
  })
})

test('a coordinator whose log cannot be written ends with that error', async () => {
  loopback = new Loopback(1)
  const full = new Error('no room')
  const coordinator = await loopback.start({
    events: () => {
      throw full
    },
  })
  await expect(coordinator.finished).rejects.toBe(full)
})

test('a coordinator that cannot start gives everything back', async () => {
  loopback = new Loopback(1)
  await expect(loopback.start({ advertise: 'not an address' })).rejects.toMatchObject({ code: 'ADVERTISE_INVALID' })
  const [port] = readFileSync(join(loopback.run, 'state', 'port'), 'utf8').split('\n')
  const coordinator = await loopback.start()
  expect(coordinator.endpoint).toBe(`tcp://127.0.0.1:${port}`)
})

test('a folder belongs to one process, one study and one federation', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  await expect(loopback.start()).rejects.toMatchObject({ code: 'RUN_LOCKED' })
  const site = loopback.join('site-1', { delayMs: 60_000 })
  await until(() => loopback.events.some(isState('site-1', 'online')))
  await expect(loopback.join('site-1').finished).rejects.toMatchObject({ code: 'RUN_LOCKED' })
  site.stop()
  await site.finished.catch(() => undefined)
  await loopback.coordinator.stop()
  const study = { ...loopback.study, rounds: 99 }
  await expect(loopback.start({ study })).rejects.toThrow('studySha256 is not the hash of the study')
  await expect(loopback.start({ study, studySha256: studySha256(study) })).rejects.toMatchObject({
    code: 'RUN_STUDY_MISMATCH',
  })

  const other = new Loopback(1)
  const { invites } = await other.start()
  loopback.invites.set('site-1', invites[0]!.invite)
  await expect(loopback.join('site-1').finished).rejects.toMatchObject({ code: 'SITE_STATE_MISMATCH' })
  await other.close()
})

test('a coordinator and a site that lost their folders to another machine while they stood still end, and leave them to that one', async () => {
  loopback = new Loopback(1)
  const timing = { lockTouchMs: 20 }
  const coordinator = await loopback.start({}, { timing })
  const site = loopback.join('site-1', { delayMs: 60_000 }, { timing })
  await until(() => loopback.events.some(isState('site-1', 'online')))
  const other = JSON.stringify({ pid: 7, started: null, host: 'node2' })
  for (const folder of [loopback.siteFolder('site-1'), loopback.run]) writeFileSync(join(folder, '.lock'), other)
  await expect(site.finished).rejects.toMatchObject({ code: 'RUN_LOCKED' })
  await expect(coordinator.finished).rejects.toMatchObject({ code: 'RUN_LOCKED' })
  await coordinator.stop()
  for (const folder of [loopback.siteFolder('site-1'), loopback.run])
    expect(readFileSync(join(folder, '.lock'), 'utf8')).toBe(other)
})

test('a coordinator and a site go on where those of a machine that died were, and say that they look whether it did', async () => {
  loopback = new Loopback(1)
  const timing = { lockTouchMs: 20 }
  const died = JSON.stringify({ pid: 7, started: null, host: 'node2' })
  for (const folder of [loopback.siteFolder('site-1'), loopback.run]) {
    mkdirSync(folder)
    writeFileSync(join(folder, '.lock'), died)
  }
  const told: string[] = []
  const coordinator = await loopback.start({ onWait: (message) => told.push(message) }, { timing })
  const site = loopback.join('site-1', {}, { timing })
  await Promise.all([coordinator.finished, site.finished])
  expect(told).toEqual([expect.stringMatching(/was locked by process 7 on node2: watching/)])
  expect(loopback.siteEvents.get('site-1')![0]).toMatchObject({
    type: 'log',
    message: expect.stringMatching(/watching/),
  })
})

test('a port in use is named', async () => {
  loopback = new Loopback(1)
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await expect(loopback.start({ bind: `tcp://127.0.0.1:${port}` })).rejects.toMatchObject({ code: 'BIND_FAILED' })
  server.close()
  await loopback.start()
})

test('a finished run that is started again says so and ends; its sites need no coordinator', async () => {
  loopback = new Loopback(1)
  const coordinator = await loopback.start()
  const site = loopback.join('site-1')
  const [result] = await Promise.all([coordinator.finished, site.finished])
  expect((await loopback.join('site-1').finished).parametersSha256).toBe(result.parametersSha256)
  const again = await loopback.start()
  expect(again.resumedAtRound).toBe(3)
  expect(await again.finished).toEqual(result)
})

test('a damaged ledger or commit is named, not repaired in silence', async () => {
  loopback = new Loopback(1)
  const coordinator = await loopback.start()
  loopback.join('site-1')
  await coordinator.finished
  const ledger = join(loopback.run, 'ledger.jsonl')
  const whole = readFileSync(ledger)
  writeFileSync(ledger, whole.subarray(0, 100))
  await expect(loopback.start()).rejects.toMatchObject({ code: 'LEDGER_TRUNCATED' })
  writeFileSync(ledger, whole)
  for (const name of ['log.a', 'log.b']) writeFileSync(join(loopback.run, 'state', name), 'no')
  await expect(loopback.start()).rejects.toMatchObject({ code: 'COMMIT_INVALID' })
  expect(existsSync(join(loopback.run, '.lock'))).toBe(false)
})
