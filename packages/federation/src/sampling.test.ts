import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FederationSchema } from '@meshfl/core'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import type { CoordinatorState } from './coordinator-state.js'
import { type LedgerEntry, verifyLedger } from './ledger.js'
import { Loopback } from './loopback.fixture.js'
import { joined, result, startMachine, run as step } from './machine.fixture.js'
import { drawOrder, fewestUpdates, sampleSize } from './sampling.js'

let loopback: Loopback | undefined
afterEach(() => loopback?.close())

const NAMES = ['site-1', 'site-2', 'site-3', 'site-4']

test('a round draws the same sites whoever joined first, and not those of the next', () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.integer({ min: 1, max: 1000 }),
      fc.shuffledSubarray(NAMES, { minLength: 4 }),
      (seed, round, names) => {
        expect(drawOrder(seed, round, names)).toEqual(drawOrder(seed, round, NAMES))
        expect([...drawOrder(seed, round, names)].sort()).toEqual(NAMES)
      },
    ),
  )
  const first = Array.from({ length: 400 }, (_, i) => drawOrder(0, i + 1, NAMES)[0]!)
  // 400 fair draws of four: 100 each, standard deviation 8.7.
  for (const name of NAMES) expect(Math.abs(first.filter((one) => one === name).length - 100)).toBeLessThan(40)
})

test('a fraction is rounded down, to one site at least; a count is at most all', () => {
  const size = (keys: object, sites: number): number => sampleSize(FederationSchema.parse(keys), sites)
  expect([size({}, 7), size({ sampleCount: 9 }, 7), size({ sampleCount: 3 }, 7)]).toEqual([7, 7, 3])
  expect([
    size({ sampleFraction: 0.5 }, 7),
    size({ sampleFraction: 0.1 }, 7),
    size({ sampleFraction: 0.3 }, 10),
  ]).toEqual([3, 1, 3])
  expect(fewestUpdates(FederationSchema.parse({ sampleCount: 3 }), 7, 2)).toBe(2)
})

async function run(federation: object, site: (name: string) => Promise<unknown>): Promise<LedgerEntry[]> {
  loopback = new Loopback(4, { rounds: 4, seed: 5, federation })
  const coordinator = await loopback.start()
  await Promise.all([coordinator.finished, ...NAMES.map(site)])
  const lines = readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8').trim().split('\n')
  expect(verifyLedger(lines, coordinator.signingPublic)).toEqual({ ok: true, rounds: 4 })
  return lines.map((line) => JSON.parse(line) as LedgerEntry)
}

test('with a sample of two only the drawn sites train, log and ledger name them, and all score', async () => {
  const rounds = await run({ sampleCount: 2 }, (name) => loopback!.join(name).finished)
  for (const [index, { sites, leftOut }] of rounds.entries()) {
    const drawn = drawOrder(5, index + 1, NAMES)
      .slice(0, 2)
      .sort()
    expect(sites.map(({ site }) => site)).toEqual(drawn)
    const others = NAMES.filter((name) => !drawn.includes(name))
    expect(leftOut).toEqual(others.map((site) => ({ site, reason: 'not sampled' })))
    expect(loopback!.logs('info')).toContain(`round ${index + 1} samples ${drawn.join(', ')}`)
    for (const name of NAMES) expect(loopback!.trainers.get(name)!.begun.includes(index + 1)).toBe(drawn.includes(name))
    const scored = loopback!.events.filter((event) => event.type === 'site-evaluated' && event.round === index + 1)
    expect(scored).toHaveLength(4)
  }
  expect(loopback!.logs('warn').filter((words) => words.includes('closed without'))).toEqual([])
})

test('a coordinator that dies in a sampled round goes on with the same sites', async () => {
  const undisturbed = await run({ sampleFraction: 0.5 }, (name) => loopback!.join(name).finished)
  await loopback!.close()
  loopback = new Loopback(4, { rounds: 4, seed: 5, federation: { sampleFraction: 0.5 } })
  let commits = 0
  const at = (point: string): void => {
    if (point === 'before commit' && ++commits === 2) throw new Error('crash')
  }
  const first = await loopback.start({}, { at })
  const sites = NAMES.map((name) => loopback!.join(name).finished)
  await expect(first.finished).rejects.toThrow('crash')
  await first.stop()
  const second = await loopback.start()
  const [result] = await Promise.all([second.finished, ...sites])
  expect(result.parametersSha256).toBe(undisturbed.at(-1)!.result)
})

/** Of the draw of round 1 with seed 1: the site that trains, and the one that does when that one is away. */
const [DRAWN, SECOND] = drawOrder(1, 1, NAMES) as [string, string]
const OTHERS = NAMES.filter((name) => name !== DRAWN)
const sampled = { minSites: 1, sampling: { seed: 1, federation: FederationSchema.parse({ sampleCount: 1 }) } }
const atWork = (name: string, session = `session of ${name}`) => ({
  ...{ ...joined(name), session, working: { purpose: 'train', round: 1, base: 'base-0' } },
})

/** Round 1 of four sites, one of which trains. */
function beginRound(): CoordinatorState {
  const [state] = step(startMachine(sampled, { sites: NAMES }), ...[DRAWN, ...OTHERS].map(joined))
  expect([...state.members]).toEqual([DRAWN])
  return state
}

test('the update of a site that was not drawn does not count, and harms nothing', () => {
  const [state, effects] = step(beginRound(), ...OTHERS.map((name) => result(name)))
  expect(effects).toEqual(
    OTHERS.map((name) => ({
      type: 'ack',
      session: `session of ${name}`,
      ...{ purpose: 'train', round: 1, base: 'base-0', status: 'stale', reason: 'the site is not drawn for round 1' },
    })),
  )
  const [, later] = step(state, result(DRAWN))
  expect(later).toContainEqual(expect.objectContaining({ type: 'commit', sites: [DRAWN] }))
})

test('a site that was not drawn does not come into a round by saying that it is at work on it', () => {
  const [state, effects] = step(beginRound(), atWork(SECOND, 'new'))
  expect([...state.members]).toEqual([DRAWN])
  expect(effects.some(({ type }) => type === 'task')).toBe(false)
})

test('while a round gathers its sites, as after a restart, the updates of those that it will draw count and no others', () => {
  const gathering = startMachine({ ...sampled, minSites: 4 }, { sites: NAMES })
  const [, refused] = step(gathering, atWork(SECOND), result(SECOND))
  expect(refused).toContainEqual(expect.objectContaining({ type: 'ack', status: 'stale' }))
  expect(refused.some(({ type }) => type === 'journal')).toBe(false)
  const [state, taken] = step(gathering, atWork(DRAWN), result(DRAWN))
  expect(taken).toContainEqual(expect.objectContaining({ type: 'journal', site: DRAWN }))
  const [, effects] = step(state, ...OTHERS.map(joined))
  expect(effects).toContainEqual(expect.objectContaining({ type: 'commit', sites: [DRAWN] }))
})

test('a drawn site whose update was refused is replaced by the next of the draw', () => {
  const work = { purpose: 'train', round: 1, base: 'base-0' }
  const refused = { type: 'refused', site: DRAWN, session: `session of ${DRAWN}`, ...work, reason: 'float 7 is NaN' }
  const [state, tasks] = step(beginRound(), refused)
  expect(tasks.filter(({ type }) => type === 'task')).toMatchObject([{ session: `session of ${SECOND}`, round: 1 }])
  const [, closed] = step(state, result(SECOND))
  expect(closed).toContainEqual(expect.objectContaining({ type: 'commit', sites: [SECOND] }))
})

test('a drawn site that was lost is replaced by the next of the draw, and still counts when it comes back in time', () => {
  const lost = { type: 'failed', site: DRAWN, session: `session of ${DRAWN}`, reason: 'disk' }
  const [replaced, tasks] = step(beginRound(), lost)
  expect(tasks.filter(({ type }) => type === 'task')).toMatchObject([{ session: `session of ${SECOND}`, round: 1 }])
  const [state, effects] = step(replaced, atWork(DRAWN), result(DRAWN))
  expect(effects).toContainEqual(expect.objectContaining({ type: 'journal', site: DRAWN }))
  const [, later] = step(state, ...OTHERS.map((name) => result(name)))
  expect(later).toContainEqual(expect.objectContaining({ type: 'commit', sites: [DRAWN, SECOND].sort() }))
})

test('what a replacement had made before a restart counts when the drawn site is lost again: nothing is trained twice', () => {
  // After the restart nobody is known to be lost, so the first of the draw is drawn again.
  const restarted = startMachine(sampled, { sites: NAMES })
  const [state, early] = step(restarted, atWork(SECOND), result(SECOND))
  expect([...state.members]).toEqual([DRAWN])
  expect(early).toContainEqual(expect.objectContaining({ type: 'ack', status: 'stale' }))
  const beats = { type: 'heard', site: SECOND, session: `session of ${SECOND}`, working: null, at: 650 }
  const [, tasks] = step(state, beats, { type: 'tick', at: 650 }, { type: 'tick', at: 660 })
  expect(tasks).toContainEqual(expect.objectContaining({ type: 'task', session: `session of ${SECOND}`, round: 1 }))
  const [, effects] = step(state, beats, { type: 'tick', at: 660 }, { ...result(SECOND), at: 661 })
  expect(effects).toContainEqual(expect.objectContaining({ type: 'commit', sites: [SECOND] }))
})

test('a run ends when the mean validation Dice has not risen for the patience, and says so after a restart too', async () => {
  loopback = new Loopback(1, { rounds: 50, earlyStop: { patience: 2, minDelta: 0.05 } })
  const coordinator = await loopback.start()
  const [result] = await Promise.all([coordinator.finished, loopback.join('site-1').finished])
  const dice = loopback.events.flatMap((event) =>
    event.type === 'round-finished' ? [event.validDice!.foregroundDice!] : [],
  )
  // Patience counts from the last round that was more than 0.05 above the one that counted before.
  let [rise, since] = [-1, 0]
  dice.forEach((value, index) => {
    expect(index - since).toBeLessThan(3)
    if (value > rise + 0.05) [rise, since] = [value, index]
  })
  expect(dice.length - 1 - since).toBe(2)
  expect(result.rounds).toBe(dice.length)
  await coordinator.stop()
  const again = await loopback.start()
  expect((await again.finished).rounds).toBe(dice.length)
})
