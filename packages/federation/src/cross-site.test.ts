import type { EvaluateTask, EventOf } from '@meshfl/core'
import { modelSha256 } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { administerSites } from './administer-sites.js'
import { GLOBAL_MODEL } from './coordinator-comparison.js'
import { createFakeTrainer, DICE, Loopback } from './loopback.fixture.js'

const open: Loopback[] = []
afterEach(() => Promise.all(open.splice(0).map((loopback) => loopback.close())))

const SITES = ['site-1', 'site-2', 'site-3']

/** The loss names the model that was scored, and who scored it. */
function lossOf(site: string, model: EvaluateTask['model']): number {
  return Number.parseInt(modelSha256(model).slice(0, 8), 16) + Number(site.at(-1)) / 10
}

function begin(federation: Record<string, unknown>): Loopback {
  const loopback = new Loopback(3, { rounds: 2, federation: { crossSite: true, ...federation } })
  open.push(loopback)
  return loopback
}

function joinAll(loopback: Loopback) {
  return SITES.map((site) => {
    const trainer = {
      ...createFakeTrainer(site),
      evaluate: async ({ model }: EvaluateTask) => ({ cases: 2, loss: lossOf(site, model), dice: DICE }),
    }
    return loopback.join(site, { createTrainer: async () => trainer }).finished
  })
}

function table(loopback: Loopback): EventOf<'cross-site'> {
  return loopback.events.findLast((event) => event.type === 'cross-site')!
}

/** Hash of every site's last update, as the coordinator told it. */
function lastUpdates(loopback: Loopback): Map<string, string> {
  return new Map(
    loopback.events.flatMap((event) => (event.type === 'site-trained' ? [[event.site, event.updateSha256]] : [])),
  )
}

function expectTable(loopback: Loopback, result: string): void {
  const { round, scores } = table(loopback)
  expect(round).toBe(2)
  const updates = new Map([[GLOBAL_MODEL, result], ...lastUpdates(loopback)])
  expect(scores.map(({ model, site }) => `${model} ${site}`)).toEqual(
    [GLOBAL_MODEL, ...SITES].flatMap((model) => SITES.map((site) => `${model} ${site}`)),
  )
  for (const { model, site, loss, cases } of scores) {
    expect(loss).toBe(Number.parseInt(updates.get(model)!.slice(0, 8), 16) + Number(site.at(-1)) / 10)
    expect(cases).toBe(2)
  }
}

// With fedbn a site scores with its own normalisation; here it must not.
test.each(['fedavg', 'fedbn'])(
  'with %s every site scores every site’s last model and the global one',
  async (strategy) => {
    const loopback = begin({ strategy })
    const coordinator = await loopback.start()
    const [result] = await Promise.all([coordinator.finished, ...joinAll(loopback)])
    expectTable(loopback, result.parametersSha256)
    // The comparison is none of the rounds' scores.
    expect(loopback.events.filter((event) => event.type === 'site-evaluated')).toHaveLength(6)
  },
)

test('a coordinator that dies in the comparison makes the whole table, and one that has it makes none', async () => {
  const loopback = begin({})
  let tasks = 0
  // Two rounds of training and scoring, three tasks each; then one of the comparison.
  const at = (point: string): void => {
    if (point === 'before task' && ++tasks === 16) throw new Error('crash')
  }
  const first = await loopback.start({}, { at })
  const sites = joinAll(loopback)
  await expect(first.finished).rejects.toThrow('crash')
  await first.stop()
  expect(table(loopback)).toBeUndefined()
  const second = await loopback.start()
  const [result] = await Promise.all([second.finished, ...sites])
  expectTable(loopback, result.parametersSha256)
  const told = loopback.events.length
  const third = await loopback.start()
  await third.finished
  expect(loopback.events.slice(told).some((event) => event.type === 'cross-site')).toBe(false)
})

test('asked for while the run goes on, the table comes after the round in progress, and the run ends as without it', async () => {
  const plain = begin({})
  const undisturbed = await plain.start()
  const [expected] = await Promise.all([undisturbed.finished, ...joinAll(plain)])

  const loopback = begin({})
  const coordinator = await loopback.start()
  // Asked before there is any model: after the first round.
  const answer = await administerSites(loopback.run, { action: 'cross-site' })
  expect(answer.note).toMatch(/after the round in progress/)
  const [result] = await Promise.all([coordinator.finished, ...joinAll(loopback)])
  expect(result.parametersSha256).toBe(expected.parametersSha256)
  const tables = loopback.events.filter((event) => event.type === 'cross-site')
  expect(tables.map(({ round, scores }) => [round, scores.length])).toEqual([
    [1, 12],
    [2, 12],
  ])
  const [first] = loopback.events.filter((event) => event.type === 'update-applied')
  for (const { model, site, loss } of tables[0]!.scores.filter((score) => score.model === GLOBAL_MODEL))
    expect([model, loss]).toEqual([
      GLOBAL_MODEL,
      Number.parseInt(first!.parametersSha256.slice(0, 8), 16) + Number(site.at(-1)) / 10,
    ])
  expectTable(loopback, result.parametersSha256)
  const late = loopback.logs('info').filter((line) => /too late/.test(line))
  expect(late).toEqual([])
  await expect(administerSites(loopback.run, { action: 'cross-site' })).rejects.toMatchObject({
    code: 'CROSS_SITE_NOT_POSSIBLE',
    message: 'no coordinator works in this folder: its sites cannot be asked',
  })
})

test('sites that did not agree to it when they joined are not compared later', async () => {
  const loopback = begin({ crossSite: false })
  await loopback.start()
  await expect(administerSites(loopback.run, { action: 'cross-site' })).rejects.toMatchObject({
    code: 'CROSS_SITE_NOT_POSSIBLE',
    hint: expect.stringMatching(/--cross-site/),
  })
})

test('without being asked for, no site gets another’s model', async () => {
  const loopback = begin({ crossSite: false })
  const coordinator = await loopback.start()
  await Promise.all([coordinator.finished, ...joinAll(loopback)])
  expect(table(loopback)).toBeUndefined()
})
