import { type ModelState, modelSha256, StudySchema } from '@meshfl/core'
import { initializeModel, modelLayout, openEngine, type Session, type Step } from '@meshfl/engine'
import { createReferenceEngine, createTinyDataset } from '@meshfl/testkit'
import { describe, expect, test } from 'vitest'
import { LocalTrainer, type LocalTrainerOptions } from './local-trainer.js'

const study = StudySchema.parse({ model: { channels: 3, dilations: [1, 2] }, recipe: { maxLearningRate: 0.05 } })
const { signal } = new AbortController()
const onStep = (): void => undefined

async function openTrainer(options: Partial<LocalTrainerOptions> & { train?: number; valid?: number } = {}) {
  const tiny = createTinyDataset({ seed: 1, train: options.train ?? 3, valid: options.valid ?? 2 })
  const spec = options.spec ?? study.model
  const session = options.session ?? (await createReferenceEngine().createSession(spec, tiny.grid))
  return new LocalTrainer({
    session,
    spec,
    recipe: study.recipe,
    seed: 7,
    site: 'site-1',
    classNames: study.classNames,
    trainCases: tiny.trainCases,
    validCases: tiny.validCases,
    loadCase: tiny.loadCase,
    ...options,
  })
}

async function trainRounds(trainer: LocalTrainer, rounds: number, through = rounds) {
  let model: ModelState = initializeModel(study.model, 7)
  let state: Uint8Array | null = null
  const losses: number[] = []
  for (let round = 1; round <= through; round++) {
    const outcome = await trainer.train({ round, rounds, model, state, signal, onStep })
    model = outcome.model
    state = outcome.state
    losses.push(outcome.metrics.loss)
  }
  return { model, state, losses, hash: modelSha256(model) }
}

type StepArguments = Parameters<Session['forwardBackward']>

/** The session, with every step's result and arguments passed through a function. */
const wrapStep = (real: Session, through: (step: Step, args: StepArguments) => Promise<Step>): Session => ({
  grid: real.grid,
  memory: real.memory,
  forward: real.forward.bind(real),
  evaluate: real.evaluate.bind(real),
  dispose: real.dispose.bind(real),
  forwardBackward: async (...args) => through(await real.forwardBackward(...args), args),
})

describe('LocalTrainer', () => {
  test('training lowers the loss and raises the Dice of cases that it has not seen', async () => {
    const trainer = await openTrainer()
    const before = await trainer.evaluate({ round: 0, model: initializeModel(study.model, 7), signal })
    const { model, losses } = await trainRounds(trainer, 12)
    const after = await trainer.evaluate({ round: 12, model, signal })
    expect(losses.at(-1)).toBeLessThan(0.6 * losses[0]!)
    expect(after.loss).toBeLessThan(before.loss!)
    expect(after.dice.foregroundDice).toBeGreaterThan(before.dice.foregroundDice! + 0.1)
  })

  test('three runs from the same seed end with the same bits; another seed or site does not', async () => {
    const hashes = []
    for (let run = 0; run < 3; run++) hashes.push((await trainRounds(await openTrainer(), 3)).hash)
    expect(new Set(hashes).size).toBe(1)
    const dropout = { ...study.model, dropout: 0.3 }
    const other = await trainRounds(await openTrainer({ spec: dropout, seed: 8 }), 3)
    const elsewhere = await trainRounds(await openTrainer({ spec: dropout, site: 'site-2' }), 3)
    expect(new Set([hashes[0], other.hash, elsewhere.hash]).size).toBe(3)
  })

  test('a round is a function of its model, its state and its number: a new trainer continues with the same bits', async () => {
    const whole = await trainRounds(await openTrainer(), 4)
    const half = await trainRounds(await openTrainer(), 4, 2)
    let { model, state } = half
    for (const round of [3, 4]) {
      const outcome = await (await openTrainer()).train({ round, rounds: 4, model, state, signal, onStep })
      model = outcome.model
      state = outcome.state
    }
    expect(modelSha256(model)).toBe(whole.hash)
    expect(state).toEqual(whole.state)
  })

  test('the model that a round starts from is left as it is', async () => {
    const model = initializeModel(study.model, 7)
    const before = modelSha256(model)
    await (await openTrainer()).train({ round: 1, rounds: 2, model, state: null, signal, onStep })
    expect(modelSha256(model)).toBe(before)
  })

  test('a round visits every case once an epoch, in steps of the batch size, in an order of its own', async () => {
    const visits: string[] = []
    const tiny = createTinyDataset({ seed: 1, train: 5, valid: 0 })
    const recipe = { ...study.recipe, batchSize: 2, localEpochs: 2 }
    const ids = new Map<string, string>()
    for (const item of tiny.trainCases) ids.set((await tiny.loadCase(item)).image.join(), item.id)
    const real = await createReferenceEngine().createSession(study.model, tiny.grid)
    const session = wrapStep(real, async (step, [, { images, count }]) => {
      const voxels = images.length / count
      for (let i = 0; i < count; i++) visits.push(ids.get(images.subarray(i * voxels, (i + 1) * voxels).join())!)
      return step
    })
    const trainer = await openTrainer({ recipe, trainCases: tiny.trainCases, cacheBytes: 0, session })
    const steps: [number, number][] = []
    const model = initializeModel(study.model, 7)
    const outcome = await trainer.train({
      ...{ round: 1, rounds: 1, model, state: null, signal },
      onStep: ({ step, steps: of }) => steps.push([step, of]),
    })
    expect(steps).toEqual([1, 2, 3, 4, 5, 6].map((step) => [step, 6]))
    expect(trainer.stepsPerRound).toBe(6)
    expect(outcome.samples).toBe(5)
    const all = tiny.trainCases.map(({ id }) => id).sort()
    const epochs = [visits.slice(0, 5), visits.slice(5, 10)]
    for (const epoch of epochs) expect([...epoch].sort()).toEqual(all)
    expect(epochs[0]).not.toEqual(epochs[1])
  })

  test('batches of volumes, the last of them smaller, are trained as the reference engine trains them', async () => {
    const recipe = { ...study.recipe, batchSize: 2 }
    const options = { train: 5, recipe }
    const tiny = createTinyDataset({ seed: 1, train: 5, valid: 2 })
    const session = await (await openEngine({ device: 'wasm', threads: 2 })).createSession(study.model, tiny.grid, {
      batchSize: 2,
    })
    const counts: number[] = []
    const counted = wrapStep(session, async (step, [, { count }]) => {
      counts.push(count)
      return step
    })
    const found = await trainRounds(await openTrainer({ ...options, session: counted }), 3)
    session.dispose()
    const truth = await trainRounds(await openTrainer(options), 3)
    expect(counts).toEqual([2, 2, 1, 2, 2, 1, 2, 2, 1])
    for (const [i, loss] of truth.losses.entries()) expect(found.losses[i]).toBeCloseTo(loss, 5)
    // The variance is that of the whole batch, which that of its volumes apart would fall short of. (The means follow the biases before
    // BatchNorm, whose gradient is rounding alone.)
    for (const { name, offset } of modelLayout(study.model).statistics.filter(({ name }) => name.endsWith('var'))) {
      for (let i = offset; i < offset + study.model.channels; i++) {
        expect(found.model.statistics[i]! / truth.model.statistics[i]!, name).toBeCloseTo(1, 3)
      }
    }
  })

  test('the next volumes are read while a step runs, and the time that a step waits for its own is told', async () => {
    const tiny = createTinyDataset({ seed: 1, train: 4, valid: 0 })
    const begun: string[] = []
    let first: () => void = () => undefined
    const loadCase = async (item: { id: string }) => {
      begun.push(item.id)
      if (begun.length === 1) await new Promise<void>((resolve) => (first = resolve))
      return tiny.loadCase(item)
    }
    const begunAtStep: number[] = []
    const waited: number[] = []
    const trainer = await openTrainer({ trainCases: tiny.trainCases, valid: 0, loadCase, cacheBytes: 0 })
    const training = trainer.train({
      ...{ round: 1, rounds: 1, model: initializeModel(study.model, 7), state: null, signal },
      onStep: ({ dataSeconds, seconds }) => {
        begunAtStep.push(begun.length)
        expect(dataSeconds!).toBeLessThanOrEqual(seconds)
        waited.push(dataSeconds!)
      },
    })
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(begun.length).toBe(3) // the first, for which the engine waits, and two more
    first()
    await training
    expect(begunAtStep).toEqual([3, 4, 4, 4])
    expect(waited[0]).toBeGreaterThan(0.02)
  })

  test('the learning rate runs over all rounds', async () => {
    const rates: number[] = []
    const trainer = await openTrainer()
    let model = initializeModel(study.model, 7)
    let state: Uint8Array | null = null
    for (let round = 1; round <= 10; round++) {
      const task = { round, rounds: 10, model, state, signal }
      ;({ model, state } = await trainer.train({ ...task, onStep: (step) => rates.push(step.learningRate) }))
    }
    expect(rates.length).toBe(30)
    expect(rates[2]).toBeCloseTo(study.recipe.maxLearningRate, 10) // 0.1 * 30 - 1
    expect(rates.at(-1)).toBeCloseTo(study.recipe.maxLearningRate / 25 / 1e4, 12)
  })

  test('without validation cases there is no loss and no Dice', async () => {
    const trainer = await openTrainer({ valid: 0 })
    expect(await trainer.evaluate({ round: 1, model: initializeModel(study.model, 7), signal })).toEqual({
      cases: 0,
      loss: null,
      dice: { perClass: { background: null, 'white matter': null, 'grey matter': null }, foregroundDice: null },
      casesPerClass: { background: 0, 'white matter': 0, 'grey matter': 0 },
    })
  })

  test.each([
    ['loss', (step: { loss: number }) => ({ ...step, loss: Number.NaN })],
    ['gradient', (step: { gradients: Float32Array }) => ({ ...step, gradients: step.gradients.map(() => Infinity) })],
  ])('a %s that is not finite ends the round and names its step and case', async (_, spoil) => {
    const tiny = createTinyDataset({ seed: 1, train: 3, valid: 0 })
    const real = await createReferenceEngine().createSession(study.model, tiny.grid)
    let calls = 0
    const session = wrapStep(real, async (step) => (++calls === 2 ? { ...step, ...spoil(step) } : step))
    const model = initializeModel(study.model, 7)
    const trainer = await openTrainer({ session })
    await expect(trainer.train({ round: 1, rounds: 1, model, state: null, signal, onStep })).rejects.toMatchObject({
      code: 'TRAINING_DIVERGED',
      data: { round: 1, step: 2, cases: [expect.stringMatching(/^train-\d$/)] },
    })
  })

  test('a gradient whose square is too large to keep ends the round that it comes in, not the next one', async () => {
    const tiny = createTinyDataset({ seed: 1, train: 3, valid: 0 })
    const real = await createReferenceEngine().createSession(study.model, tiny.grid)
    const session = wrapStep(real, async (step) => ({ ...step, gradients: step.gradients.map(() => 1e22) }))
    const model = initializeModel(study.model, 7)
    const trainer = await openTrainer({ session })
    await expect(trainer.train({ round: 1, rounds: 2, model, state: null, signal, onStep })).rejects.toMatchObject({
      code: 'TRAINING_DIVERGED',
      message: expect.stringMatching(/a moment of the optimiser is not finite$/),
    })
  })

  test('a validation loss that is not finite is named too', async () => {
    const model = initializeModel(study.model, 7)
    model.parameters.fill(Number.NaN)
    await expect((await openTrainer()).evaluate({ round: 3, model, signal })).rejects.toMatchObject({
      code: 'TRAINING_DIVERGED',
      data: { round: 3, step: null, cases: ['valid-0'] },
    })
  })

  test('an abort stops before the next step, with its reason', async () => {
    const controller = new AbortController()
    const trainer = await openTrainer()
    const training = trainer.train({
      ...{ round: 1, rounds: 1, model: initializeModel(study.model, 7), state: null, signal: controller.signal },
      onStep: () => controller.abort(new Error('stop')),
    })
    await expect(training).rejects.toThrow('stop')
  })

  test('a site without training cases, and words that do not fit the model, are explained', async () => {
    const empty = await openTrainer({ train: 0 })
    const model = initializeModel(study.model, 7)
    await expect(empty.train({ round: 1, rounds: 1, model, state: null, signal, onStep })).rejects.toMatchObject({
      code: 'TRAINING_NO_CASES',
    })
    await expect(openTrainer({ recipe: { ...study.recipe, classWeights: [1, 1] } })).rejects.toMatchObject({
      code: 'RECIPE_CLASS_WEIGHTS',
    })
    await expect(openTrainer({ classNames: ['a'] })).rejects.toMatchObject({ code: 'CLASS_NAMES_MISMATCH' })
    const odd = await openTrainer({ loadCase: async () => ({ image: new Uint8Array(3), label: new Uint8Array(3) }) })
    await expect(odd.train({ round: 1, rounds: 1, model, state: null, signal, onStep })).rejects.toMatchObject({
      code: 'CASE_GRID_MISMATCH',
    })
  })
})
