import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FederationSchema } from '@meshfl/core'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { type LedgerEntry, verifyLedger } from './ledger.js'
import { Loopback } from './loopback.fixture.js'
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
