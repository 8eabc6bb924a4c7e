import type { EventOf } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { administerSites } from './administer-sites.js'
import { auditRun } from './audit.js'
import { readLedger } from './ledger.js'
import { describeFake, isState, LAYOUT, Loopback, randomModel, TINY_OPTIMIZER, until } from './loopback.fixture.js'

const open: Loopback[] = []
afterEach(() => Promise.all(open.splice(0).map((loopback) => loopback.close())))

/** Three steps a round at site-1, two at site-22: one volume a step. */
const SHARES = { 'site-1': 3, 'site-22': 2 }

function begin(): Loopback {
  const loopback = new Loopback(2, { rounds: 2, recipe: { batchSize: 1 }, federation: { sync: 'step' } })
  open.push(loopback)
  return loopback
}

function joinAll(loopback: Loopback) {
  return Object.entries(SHARES).map(
    ([site, trainCases]) => loopback.join(site, { describe: async () => describeFake(site, { trainCases }) }).finished,
  )
}

function trained(loopback: Loopback): EventOf<'site-trained'>[] {
  return loopback.events
    .filter((event) => event.type === 'site-trained')
    .sort((a, b) => a.round - b.round || (a.site < b.site ? -1 : 1))
}

test('with a step an exchange every round still says what each site trained: the mean over its steps', async () => {
  const loopback = begin()
  const coordinator = await loopback.start({ stepOptimizer: TINY_OPTIMIZER })
  await Promise.all([coordinator.finished, ...joinAll(loopback)])
  const expected = [1, 2].flatMap((round) =>
    Object.entries(SHARES).map(([site, steps]) => {
      const losses = Array.from({ length: steps }, (_, i) => 1 / (round + i + 1)) // the tiny trainer's
      return { site, round, samples: steps, loss: expect.closeTo(losses.reduce((a, b) => a + b) / steps, 12) }
    }),
  )
  expect(trained(loopback)).toMatchObject(expected)
  // Before the round's end is told, so that a view has it then.
  const order = loopback.events.flatMap(({ type }) =>
    type === 'site-trained' || type === 'update-applied' ? [type] : [],
  )
  expect(order.slice(0, 3)).toEqual(['site-trained', 'site-trained', 'update-applied'])
})

test('of a round whose first steps another process saw nothing is said, and of the next one all', async () => {
  const loopback = begin()
  let commits = 0
  const at = (point: string): void => {
    if (point === 'before commit' && ++commits === 3) throw new Error('crash')
  }
  const first = await loopback.start({ stepOptimizer: TINY_OPTIMIZER }, { at })
  const sites = joinAll(loopback)
  await expect(first.finished).rejects.toThrow('crash')
  await first.stop()
  const second = await loopback.start({ stepOptimizer: TINY_OPTIMIZER })
  await Promise.all([second.finished, ...sites])
  expect(trained(loopback).map(({ site, round }) => `${site} ${round}`)).toEqual(['site-1 2', 'site-22 2'])
})

test('a run whose site with the most batches is revoked ends, and every step of it is computed again by the audit', async () => {
  const federation = { sync: 'step', keepUpdates: true }
  const loopback = new Loopback(2, { rounds: 2, recipe: { batchSize: 1 }, federation })
  open.push(loopback)
  const coordinator = await loopback.start({ stepOptimizer: TINY_OPTIMIZER, minSites: 1 })
  coordinator.pause()
  const join = (site: string, trainCases: number, delayMs: number) =>
    loopback.join(site, { delayMs, describe: async () => describeFake(site, { trainCases }) })
  join('site-1', 6, 100)
  const stays = join('site-22', 2, 1)
  await until(() => ['site-1', 'site-22'].every((site) => loopback.events.some(isState(site, 'online'))))
  coordinator.resume()
  await until(() => loopback.events.some(({ type }) => type === 'round-started'))
  await administerSites(loopback.run, { action: 'revoke', site: 'site-1' })
  const [{ rounds }] = await Promise.all([coordinator.finished, stays.finished])
  expect(rounds).toBe(2)
  const audit = { folder: loopback.run, study: loopback.study, layout: LAYOUT, initialModel: randomModel('initial') }
  expect(await auditRun({ ...audit, stepOptimizer: TINY_OPTIMIZER })).toMatchObject({
    ...{ ok: true, rounds: 12, replayed: 12 },
  })
  const entries = readLedger(loopback.ledgerLines())
  expect(entries.map(({ steps }) => steps)).toEqual(Array(12).fill(6))
  // In round 2 only site-22 is there: two steps are its, and the four others change nothing.
  const [first, second, ...others] = entries.slice(6)
  for (const { sites, base, result } of [first!, second!]) {
    expect(sites.map(({ site }) => site)).toEqual(['site-22'])
    expect(result).not.toBe(base)
  }
  for (const { sites, leftOut, result } of others)
    expect({ sites, leftOut, result }).toEqual({ sites: [], leftOut: [], result: second!.result })
})

test('a step that makes a model without a finite number ends the run with words', async () => {
  const loopback = begin()
  const stepOptimizer: typeof TINY_OPTIMIZER = {
    step: (...given) => {
      const output = TINY_OPTIMIZER.step(...given)
      if (given[3] === 1) output.model.parameters[0] = Number.POSITIVE_INFINITY
      return output
    },
  }
  const coordinator = await loopback.start({ stepOptimizer })
  joinAll(loopback)
  await expect(coordinator.finished).rejects.toMatchObject({
    code: 'AGGREGATE_NOT_FINITE',
    message: 'step 2 made a model that is not finite',
  })
})
