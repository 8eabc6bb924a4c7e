import { afterEach, expect, test } from 'vitest'
import { verifyLedger } from './ledger.js'
import { createFakeTrainer, isState, Loopback, until } from './loopback.fixture.js'

let loopback: Loopback
afterEach(() => loopback.close())

test('after the deadline a round is closed without the slow site, which is named', async () => {
  loopback = new Loopback(3, { rounds: 2, federation: { minSites: 2, roundDeadlineSeconds: 0.4 } })
  await loopback.start()
  loopback.join('slow', { delayMs: 60_000 })
  await until(() => loopback.events.some(isState('slow', 'online')))
  const sites = ['site-1', 'site-2'].map((site) => loopback.join(site))
  await Promise.all(sites.map(({ finished }) => finished))
  const applied = loopback.events.filter((event) => event.type === 'update-applied')
  expect(applied[0]!.leftOut).toEqual([{ site: 'slow', reason: 'late' }])
  expect(JSON.parse(loopback.ledgerLines()[0]!).leftOut).toEqual([{ site: 'slow', reason: 'late' }])
  expect(loopback.logs('warn')).toContainEqual('round 1 is closed without slow (late)')
  expect(verifyLedger(loopback.ledgerLines(), loopback.coordinator.signingPublic).ok).toBe(true)
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
  await until(() => loopback.logs('error').includes('site-1: training: out of memory'), 1000)
  // With the place in the program, at the level that a terminal shows.
  expect(
    loopback
      .logs('error')
      .some(
        (line) =>
          /^Error: out of memory|^out of memory/.test(line) && /\n\s+at .*site-outages\.test\.ts:\d+/.test(line),
      ),
  ).toBe(true)
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
