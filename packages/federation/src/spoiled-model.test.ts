import { type EvaluateTask, type GradientTask, MeshflError, type SiteTrainer, type TrainTask } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { createFakeTrainer, Loopback, TINY_OPTIMIZER } from './loopback.fixture.js'

let loopback: Loopback
afterEach(() => loopback.close())

/** What the trainer of `@meshfl/training` throws. */
function diverged(round: number, step: number | null): MeshflError {
  const where = step === null ? 'in validation' : `step ${step}`
  const data = { round, step, cases: ['case-1'] }
  return new MeshflError('TRAINING_DIVERGED', `training diverged in round ${round}, ${where}: the loss is NaN`, {
    data,
  })
}

function join(site: string, change: (trainer: SiteTrainer) => Partial<SiteTrainer>) {
  const trainer = createFakeTrainer(site)
  return loopback.join(site, { createTrainer: async () => ({ ...trainer, ...change(trainer) }) }).finished
}

/** Has no finite loss of the models of these rounds. */
function scoresAllBut(...rounds: number[]) {
  return (trainer: SiteTrainer): Partial<SiteTrainer> => ({
    evaluate: async (task: EvaluateTask) => {
      if (rounds.includes(task.round)) throw diverged(task.round, null)
      return trainer.evaluate(task)
    },
  })
}

test('a site that gets no finite loss of a model goes on, and that round is never the best', async () => {
  loopback = new Loopback(1)
  const coordinator = await loopback.start()
  const [result] = await Promise.all([coordinator.finished, join('site-1', scoresAllBut(1, 3))])
  expect(result.rounds).toBe(3)
  expect(result.best?.round).toBe(2)
  const finished = loopback.events.filter((event) => event.type === 'round-finished')
  expect(finished.map(({ validLoss, validDice }) => [validLoss, validDice?.foregroundDice])).toEqual([
    [null, null],
    [0.5, expect.any(Number)],
    [null, null],
  ])
  expect(loopback.logs('warn').filter((line) => /has no finite loss at site-1/.test(line))).toHaveLength(2)
  const told = loopback.siteEvents.get('site-1')!
  const warnings = told.flatMap((event) => (event.type === 'log' && event.level === 'warn' ? [event.message] : []))
  expect(warnings).toContain(
    'the model has no score here: training diverged in round 1, in validation: the loss is NaN',
  )
  expect(told.find((event) => event.type === 'site-evaluated')).toMatchObject({ loss: null, cases: 2 })
})

test('who claims a Dice of 1 for a model that another site cannot score does not make it the best', async () => {
  loopback = new Loopback(2)
  const coordinator = await loopback.start({}, {})
  const claims = (): Partial<SiteTrainer> => ({
    evaluate: async ({ round }) => {
      const foregroundDice = round === 2 ? 1 : 0.7
      return { cases: 2, loss: 0.1, dice: { perClass: { 'white matter': foregroundDice }, foregroundDice } }
    },
  })
  const honest = (trainer: SiteTrainer): Partial<SiteTrainer> => ({
    evaluate: async (task) => {
      if (task.round === 2) throw diverged(2, null)
      return { ...(await trainer.evaluate(task)), dice: { perClass: { 'white matter': 0.6 }, foregroundDice: 0.6 } }
    },
  })
  const [result] = await Promise.all([coordinator.finished, join('site-1', honest), join('site-2', claims)])
  expect(result.best).toEqual({ round: 1, foregroundDice: expect.closeTo(0.65, 12) })
})

test('a single model that has no finite loss is a gap in the cross-site table, and ends no site', async () => {
  loopback = new Loopback(2, { rounds: 1, federation: { crossSite: true } })
  const coordinator = await loopback.start()
  let scored = 0
  const failsLater = (trainer: SiteTrainer): Partial<SiteTrainer> => ({
    evaluate: async (task) => {
      scored += 1
      if (scored > 1) throw diverged(1, null)
      return trainer.evaluate(task)
    },
  })
  await Promise.all([coordinator.finished, join('site-1', failsLater), join('site-2', () => ({}))])
  const { scores } = loopback.events.findLast((event) => event.type === 'cross-site')!
  expect(scores.map(({ site, loss, cases }) => [site, loss, cases])).toEqual(
    Array.from({ length: 3 }, () => [
      ['site-1', null, 2],
      ['site-2', expect.any(Number), 2],
    ]).flat(),
  )
})

test('a training that diverges in its first step says whose model that was, and what to do', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const fails = (trainer: SiteTrainer): Partial<SiteTrainer> => ({
    train: async (task: TrainTask) => {
      if (task.round === 2) throw diverged(2, 1)
      return trainer.train(task)
    },
  })
  await expect(join('site-1', fails)).rejects.toMatchObject({
    code: 'TRAINING_DIVERGED',
    message: 'training diverged in round 2, step 1: the loss is NaN; it began with the federation’s model of round 1',
    hint: expect.stringMatching(/leave that site out.*meshfl serve --from/),
  })
})

test('one that diverges later, or in the first round, has no other to blame', async () => {
  for (const [round, step] of [
    [2, 2],
    [1, 1],
  ] as const) {
    loopback = new Loopback(1)
    await loopback.start()
    const fails = (trainer: SiteTrainer): Partial<SiteTrainer> => ({
      train: async (task: TrainTask) => {
        if (task.round === round) throw diverged(round, step)
        return trainer.train(task)
      },
    })
    await expect(join('site-1', fails)).rejects.toMatchObject({ message: expect.stringMatching(/the loss is NaN$/) })
    if (round === 2) await loopback.close()
  }
})

test('with a step an exchange every step but the first begins with a model of the federation', async () => {
  loopback = new Loopback(1, { rounds: 1, recipe: { batchSize: 1 }, federation: { sync: 'step' } })
  await loopback.start({ stepOptimizer: TINY_OPTIMIZER })
  const fails = (trainer: SiteTrainer): Partial<SiteTrainer> => ({
    gradient: async (task: GradientTask) => {
      if (task.step === 3) throw diverged(1, 3)
      return trainer.gradient!(task)
    },
  })
  await expect(join('site-1', fails)).rejects.toMatchObject({
    message: expect.stringMatching(/it began with the federation’s model of round 1$/),
  })
})
