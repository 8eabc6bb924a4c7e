import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { decodeModel, modelMetadata, modelSha256, studySha256 } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { aggregate } from './aggregate.js'
import { verifyLedger } from './ledger.js'
import { createFakeTrainer, describeFake, isState, LAYOUT, Loopback, randomModel, until } from './loopback.fixture.js'

let loopback: Loopback
afterEach(() => loopback.close())

test('two sites and a coordinator finish all rounds and hold the same model', async () => {
  loopback = new Loopback(2)
  const coordinator = await loopback.start()
  // One that trains for longer than it waits before it tells how far it is.
  const [a, b] = [loopback.join('site-1'), loopback.join('site-2', { delayMs: 300 })]
  const [result, ...sites] = await Promise.all([coordinator.finished, a.finished, b.finished])
  expect(result.rounds).toBe(3)
  expect(result.parametersSha256).toBe(modelSha256(result.model))
  for (const [i, site] of sites.entries()) {
    expect(site.parametersSha256).toBe(result.parametersSha256)
    expect(site.best).toEqual(result.best)
    const path = join(loopback.siteFolder(`site-${i + 1}`), 'model.safetensors')
    expect(modelSha256(decodeModel(LAYOUT, readFileSync(path)))).toBe(result.parametersSha256)
  }
  expect(verifyLedger(loopback.ledgerLines(), coordinator.signingPublic)).toEqual({ ok: true, rounds: 3 })
  for (const key of ['run/keys/coordinator.json', 'run/keys/invites.json', 'site-1/keys/site.json']) {
    expect(statSync(join(loopback.folder, key)).mode & 0o777).toBe(0o600)
  }
  const types = new Set(loopback.events.map(({ type }) => type))
  for (const type of ['round-started', 'step', 'site-trained', 'update-applied', 'site-evaluated', 'round-finished'])
    expect(types).toContain(type)
  expect(types).toContain('traffic')
})

test('the answer to the last goodbye reaches its site, every time', async () => {
  for (let run = 0; run < 8; run++) {
    loopback = new Loopback(2, { rounds: 1 })
    const coordinator = await loopback.start()
    // Without an answer it would wait for a minute.
    const join = (site: string) => loopback.join(site, {}, { timing: { goodbyeMs: 60_000 } }).finished
    await Promise.all([coordinator.finished, join('site-1'), join('site-22')])
    await loopback.close()
  }
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
