import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import {
  decodeModel,
  type MeshflEvent,
  modelMetadata,
  modelSha256,
  type SiteDescription,
  studySha256,
} from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { aggregate } from './aggregate.js'
import { CoordinatorStore } from './coordinator-store.js'
import { verifyLedger } from './ledger.js'
import { createFakeTrainer, describeFake, LAYOUT, Loopback, randomModel, SILENT, until } from './loopback.fixture.js'
import { PatientWrites } from './patient-writes.js'

let loopback: Loopback
afterEach(() => loopback.close())

function ledgerLines(): string[] {
  return readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8').trim().split('\n')
}

function isState(site: string, state: string): (event: MeshflEvent) => boolean {
  return (event) => event.type === 'site-state' && event.site === site && event.state === state
}

test('two sites and a coordinator finish all rounds and hold the same model', async () => {
  loopback = new Loopback(2)
  const coordinator = await loopback.start()
  const [a, b] = [loopback.join('site-1'), loopback.join('site-2')]
  const [result, ...sites] = await Promise.all([coordinator.finished, a.finished, b.finished])
  expect(result.rounds).toBe(3)
  expect(result.parametersSha256).toBe(modelSha256(result.model))
  for (const [i, site] of sites.entries()) {
    expect(site.parametersSha256).toBe(result.parametersSha256)
    expect(site.best).toEqual(result.best)
    const path = join(loopback.siteFolder(`site-${i + 1}`), 'model.safetensors')
    expect(modelSha256(decodeModel(LAYOUT, readFileSync(path)))).toBe(result.parametersSha256)
  }
  expect(verifyLedger(ledgerLines(), coordinator.signingPublic)).toEqual({ ok: true, rounds: 3 })
  for (const key of ['run/keys/coordinator.json', 'run/keys/invites.json', 'site-1/keys/site.json']) {
    expect(statSync(join(loopback.folder, key)).mode & 0o777).toBe(0o600)
  }
  const types = new Set(loopback.events.map(({ type }) => type))
  for (const type of ['round-started', 'step', 'site-trained', 'update-applied', 'site-evaluated', 'round-finished'])
    expect(types).toContain(type)
  expect(types).toContain('traffic')
})

test('the best round is the one with the highest mean over all sites’ validation cases, the last one included', async () => {
  loopback = new Loopback(2)
  const coordinator = await loopback.start()
  loopback.join('site-1')
  loopback.join('site-2')
  const { best } = await coordinator.finished
  const finished = loopback.events.filter((event) => event.type === 'round-finished')
  const dice = finished.map((event) => event.validDice!.foregroundDice!)
  expect(dice).toHaveLength(3)
  expect(best).toEqual({ round: dice.indexOf(Math.max(...dice)) + 1, foregroundDice: Math.max(...dice) })
  const { file, ...model } = decodeModel(LAYOUT, readFileSync(join(loopback.run, 'best.safetensors')))
  const round = join(loopback.run, 'rounds', `000${best!.round}.safetensors`)
  expect(modelSha256(model)).toBe(modelSha256(decodeModel(LAYOUT, readFileSync(round))))
  expect(file.metadata['meshfl.round']).toBe(String(best!.round))
})

test('model files say how to conform a scan: what the study leaves out is of the first site by name', async () => {
  loopback = new Loopback(2, { rounds: 1, labelMap: 'gw3' })
  const coordinator = await loopback.start()
  const second = loopback.join('site-2')
  await until(() => loopback.events.some(isState('site-2', 'online')))
  const smaller = { conform: { mode: 'freesurfer' as const, shape: [64, 64, 64] as [number, number, number] } }
  const first = loopback.join('site-1', { describe: async () => describeFake('site-1', smaller) })
  await Promise.all([coordinator.finished, first.finished, second.finished])
  const { study } = loopback
  const expected = modelMetadata({ ...study, ...smaller, voxelSizeMm: 1 }, 1)
  const files = ['run/latest', 'run/best', 'run/rounds/0001', 'site-1/model', 'site-2/model']
  for (const name of files) {
    const bytes = readFileSync(join(loopback.folder, `${name}.safetensors`))
    const { metadata } = decodeModel(LAYOUT, bytes).file
    expect(metadata).toMatchObject({ ...expected, 'meshfl.study': studySha256(study) })
    if (name === 'run/best') expect(Number(metadata['meshfl.foregroundDice'])).toBeGreaterThan(0)
  }
})

test('what the study asks for is asked of the first site too', async () => {
  loopback = new Loopback(1, { conform: { mode: 'niivue', shape: [256, 256, 256] } })
  await loopback.start()
  await expect(loopback.join('site-1').finished).rejects.toMatchObject({
    message: expect.stringMatching(/site-1 was conformed with freesurfer, the study has niivue/),
  })
})

test('one site’s federation is that site’s training, bit for bit', async () => {
  loopback = new Loopback(1)
  const coordinator = await loopback.start()
  loopback.join('site-1')
  const result = await coordinator.finished
  const trainer = createFakeTrainer('site-1')
  const signal = new AbortController().signal
  let model = randomModel('initial')
  let state: Uint8Array | null = null
  for (let round = 1; round <= 3; round++) {
    const outcome = await trainer.train({ round, rounds: 3, model, state, signal, onStep: () => undefined })
    model = outcome.model
    state = outcome.state
  }
  expect(result.parametersSha256).toBe(modelSha256(model))
})

test('the run ends early when the target Dice is reached', async () => {
  loopback = new Loopback(1, { rounds: 50, targetDice: 0.5 })
  const coordinator = await loopback.start()
  const site = loopback.join('site-1')
  const [result, atSite] = await Promise.all([coordinator.finished, site.finished])
  expect(result.best!.foregroundDice).toBeGreaterThanOrEqual(0.5)
  expect(result.best!.round).toBe(result.rounds)
  expect(result.rounds).toBeLessThan(50)
  expect(atSite.rounds).toBe(result.rounds)
})

test('after the deadline a round is closed without the slow site, which is named', async () => {
  loopback = new Loopback(3, { rounds: 2, federation: { minSites: 2, roundDeadlineSeconds: 0.4 } })
  await loopback.start()
  loopback.join('slow', { delayMs: 60_000 })
  await until(() => loopback.events.some(isState('slow', 'online')))
  const sites = ['site-1', 'site-2'].map((site) => loopback.join(site))
  await Promise.all(sites.map(({ finished }) => finished))
  const applied = loopback.events.filter((event) => event.type === 'update-applied')
  expect(applied[0]!.leftOut).toEqual([{ site: 'slow', reason: 'late' }])
  expect(JSON.parse(ledgerLines()[0]!).leftOut).toEqual([{ site: 'slow', reason: 'late' }])
  expect(loopback.logs('warn')).toContainEqual('round 1 is closed without slow (late)')
  expect(verifyLedger(ledgerLines(), loopback.coordinator.signingPublic).ok).toBe(true)
})

test('below the quorum the coordinator waits, says for whom, and goes on when the site is back', async () => {
  loopback = new Loopback(2)
  const coordinator = await loopback.start()
  const first = loopback.join('site-1', { delayMs: 60_000 })
  const other = loopback.join('site-2')
  await until(() => loopback.events.some(isState('site-1', 'training')))
  first.stop()
  await expect(first.finished).rejects.toMatchObject({ code: 'INTERRUPTED' })
  await until(() => loopback.events.some(isState('site-1', 'left')))
  await until(() =>
    loopback.logs('warn').some((line) => /round 1 has 1 of the 2 sites it needs and waits: site-1 left/.test(line)),
  )
  const again = loopback.join('site-1')
  const [result] = await Promise.all([coordinator.finished, again.finished, other.finished])
  expect(result.rounds).toBe(3)
})

test('a silent site is suspect, then lost, and not waited for where enough others are there', async () => {
  loopback = new Loopback(2, { rounds: 2 })
  const coordinator = await loopback.start({ minSites: 1 }, { timing: { suspectMs: 150, leaseMs: 400 } })
  const dying = loopback.join(
    'site-1',
    { delayMs: 60_000 },
    {
      at: (point) => {
        if (point === 'before ping') throw new Error('died')
      },
    },
  )
  await until(() => loopback.events.some(isState('site-1', 'training')))
  const other = loopback.join('site-2')
  await expect(dying.finished).rejects.toThrow('died')
  await Promise.all([coordinator.finished, other.finished])
  const states = loopback.events.flatMap((event) =>
    event.type === 'site-state' && event.site === 'site-1' ? [event.state] : [],
  )
  expect(states).toEqual(['online', 'training', 'suspect', 'lost'])
})

test('a paused coordinator finishes its round and begins no other', async () => {
  loopback = new Loopback(1)
  const coordinator = await loopback.start()
  coordinator.pause()
  loopback.join('site-1')
  await until(() => loopback.events.some(isState('site-1', 'online')))
  await new Promise((resolve) => setTimeout(resolve, 60))
  expect(loopback.events.some(({ type }) => type === 'round-started')).toBe(false)
  coordinator.resume()
  expect((await coordinator.finished).rounds).toBe(3)
})

test('an exception of a trainer reaches the coordinator’s log, and its own caller', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const trainer = {
    ...createFakeTrainer('x'),
    train: async () => {
      throw new Error('out of memory')
    },
  }
  const site = loopback.join('site-1', { createTrainer: async () => trainer })
  await expect(site.finished).rejects.toThrow('out of memory')
  await until(() => loopback.logs('error').includes('site-1: training: out of memory'))
  expect(loopback.events.some(isState('site-1', 'failed'))).toBe(true)
})

test('an update that is not finite is never sent', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const fake = createFakeTrainer('site-1')
  const site = loopback.join('site-1', {
    createTrainer: async () => ({
      ...fake,
      train: async (task) => {
        const outcome = await fake.train(task)
        outcome.model.parameters[3] = Number.NaN
        return outcome
      },
    }),
  })
  await expect(site.finished).rejects.toMatchObject({ code: 'UPDATE_NOT_FINITE' })
})

test.each([
  ['classes', { classes: 5 }, /site-2 has 5 classes, the study 3/],
  ['labelMap', { labelMap: 'aseg' }, /site-2 has the label map aseg, site-1 has gw3/],
  ['voxelSizeMm', { voxelSizeMm: 2 }, /site-2 has voxels of 2 mm, site-1 has 1 mm/],
  ['conform', { conform: { mode: 'niivue', shape: [256, 256, 256] } }, /conformed with niivue, site-1 has freesurfer/],
  [
    'classNames',
    { classNames: ['background', 'grey matter', 'white matter'] },
    /site-2 has the classes background, grey matter, white matter, the study background, white matter, grey matter/,
  ],
  ['site', { site: 'site-1' }, /another site is called site-1 .*every site needs a name of its own/],
  ['name', { site: 'site 2' }, /what the site says of itself cannot be read: .*site/s],
  ['trainCases', { trainCases: 0 }, /site-2 has no training cases/],
] satisfies [string, Partial<SiteDescription>, RegExp][])(
  'a site whose %s does not fit is denied in words that name both',
  async (_, change, words) => {
    loopback = new Loopback(2)
    await loopback.start()
    loopback.join('site-1')
    await until(() => loopback.events.some(isState('site-1', 'online')))
    const site = loopback.join('site-2', { describe: async () => describeFake('site-2', change) })
    await expect(site.finished).rejects.toMatchObject({
      code: 'FEDERATION_DENIED',
      message: expect.stringMatching(words),
    })
  },
)

test('a site that nobody approves is denied', async () => {
  loopback = new Loopback(1)
  const asked: unknown[] = []
  await loopback.start({
    approve: async (request) => {
      asked.push(request)
      return false
    },
  })
  const site = loopback.join('site-1')
  await expect(site.finished).rejects.toMatchObject({ code: 'FEDERATION_DENIED' })
  expect(asked).toMatchObject([
    { site: 'site-1', fingerprint: expect.stringMatching(/^([0-9a-f]{4}-){7}[0-9a-f]{4}$/) },
  ])
})

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
  loopback.events.length = 0
  const coordinator = await loopback.start()
  expect(loopback.events).toEqual([])
  await Promise.all([coordinator.finished, site.finished])
  expect(loopback.events[0]).toMatchObject({ type: 'site-state', site: 'site-1', state: 'online' })
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

test('an invite is for one site, and for its time', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const first = loopback.join('site-1', { delayMs: 60_000 })
  await until(() => loopback.events.some(isState('site-1', 'online')))
  loopback.invites.set('site-2', loopback.invites.get('site-1')!)
  await expect(loopback.join('site-2').finished).rejects.toMatchObject({ code: 'INVITE_USED' })
  first.stop()
  await loopback.coordinator.stop()
  expect((await loopback.start()).invites).toEqual([])

  const late = new Loopback(1)
  await late.start({ inviteTtlSeconds: -1 })
  expect(late.coordinator.invites).toEqual([])
  await late.close()
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

test('the sum over sites is the aggregate of their updates', async () => {
  loopback = new Loopback(2, { rounds: 1 })
  const coordinator = await loopback.start()
  loopback.join('site-1')
  loopback.join('site-22')
  const { model } = await coordinator.finished
  const contributions = await Promise.all(
    ['site-1', 'site-22'].map(async (site) => {
      const outcome = await createFakeTrainer(site).train({
        round: 1,
        rounds: 1,
        model: randomModel('initial'),
        state: null,
        signal: new AbortController().signal,
        onStep: () => undefined,
      })
      return { site, ...outcome }
    }),
  )
  expect(modelSha256(model)).toBe(modelSha256(aggregate(LAYOUT, contributions, 'pooled')))
})
