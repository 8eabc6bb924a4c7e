import { fileURLToPath } from 'node:url'
import { createRandom, MeshNetSpecSchema, type ModelState, RecipeSchema } from '@meshfl/core'
import { type Engine, initializeModel, modelLayout, type SessionOptions, voxelCount } from '@meshfl/engine'
import { createReferenceEngine, type GoldenCase, readGoldenCases } from '@meshfl/testkit'
import { adamStep, createAdamState, oneCycle, updateRunningStatistics } from '@meshfl/training'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { relativeByTensor, relativeMaximum } from './compare.js'
import { openEveryEngineAndShim, testMissing } from './engines.js'

// Tolerances of float32 against PyTorch on small grids. The reference engine passes them with orders of magnitude to spare.
const LOGITS = 1e-5 // of the largest logit
const GRADIENTS = 1e-3 // of each tensor's norm
const LOSS = 1e-6
const LOSS_OF_FIVE_STEPS = 1e-4
const STATISTICS = 1e-5

const golden = readGoldenCases(fileURLToPath(new URL('../../fixtures/golden', import.meta.url)))
const trainable = golden.filter(({ step }) => step !== null)
const trained = golden.filter(({ training }) => training !== null)
const defaultCase = golden.find(({ name }) => name === 'default')!
const twoVolumes = golden.find(({ name }) => name === 'elu-two-volumes')!

for (const candidate of await openEveryEngineAndShim()) {
  if ('engine' in candidate) describe(`the ${candidate.name} engine`, () => conforms(candidate.engine))
  else testMissing(`the ${candidate.name} engine`, candidate)
}

function conforms(engine: Engine): void {
  const open = (item: GoldenCase, options?: SessionOptions) => engine.createSession(item.spec, item.grid, options)
  const stepOf = async (item: GoldenCase, options?: SessionOptions, seed = 0) => {
    const session = await open(item, options)
    try {
      return await session.forwardBackward(item.model, item.batch, item.labels, item.loss, { seed })
    } finally {
      session.dispose()
    }
  }

  test.each(golden)('$name: logits and labels are those of PyTorch', async (item) => {
    const session = await open(item)
    const { logits, labels } = await session.forward(item.model, item.batch, { logits: true })
    session.dispose()
    const truth = item.logits64 ?? item.logits
    expect(relativeMaximum(logits!, truth)).toBeLessThan(LOGITS)
    expect(labels).toEqual(argmaxOf(logits!, item))
  })

  test.each(golden)('$name: the loss is that of PyTorch for every weighting and smoothing', async (item) => {
    const session = await open(item)
    for (const { value, ...loss } of item.losses) {
      const scored = await session.evaluate(item.model, item.batch, item.labels, loss)
      expect(Math.abs(scored.loss - value)).toBeLessThan(LOSS * Math.max(1, value))
    }
    session.dispose()
  })

  test.each(golden)('$name: the confusion counts every voxel once', async (item) => {
    const session = await open(item)
    const { labels } = await session.forward(item.model, item.batch)
    const { confusion } = await session.evaluate(item.model, item.batch, item.labels, item.loss)
    session.dispose()
    const { classes } = item.spec
    const counts = new Float64Array(classes * classes)
    for (const [i, truth] of item.labels.entries()) counts[truth * classes + labels[i]!]! += 1
    expect(confusion).toEqual({ classes, counts })
  })

  test.each(trainable)('$name: loss, gradients and batch statistics are those of PyTorch', async (item) => {
    const layout = modelLayout(item.spec)
    const step = await stepOf(item)
    expect(Math.abs(step.loss - item.step!.loss)).toBeLessThan(LOSS * Math.max(1, item.step!.loss))
    for (const [name, error] of Object.entries(relativeByTensor(layout, step.gradients, item.step!.gradients))) {
      expect(error, name).toBeLessThan(GRADIENTS)
    }
    expect(step.batchStatistics.length).toBe(layout.statisticCount)
    if (layout.statisticCount > 0) {
      expect(relativeMaximum(step.batchStatistics, item.step!.batchStatistics)).toBeLessThan(STATISTICS)
    }
    expect(step.statisticSamples).toBe(item.labels.length)
  })

  test.each(trained)('$name: five steps of training are those of PyTorch', async (item) => {
    const { training } = item
    const recipe = RecipeSchema.parse({})
    const layout = modelLayout(item.spec)
    const session = await open(item)
    const model: ModelState = { parameters: item.model.parameters.slice(), statistics: item.model.statistics.slice() }
    const adam = createAdamState(layout.parameterCount)
    const voxels = item.grid.depth * item.grid.height * item.grid.width
    for (let index = 0; index < training!.steps; index++) {
      const volume = index % (item.images.length / voxels)
      const images = item.images.subarray(volume * voxels, (volume + 1) * voxels)
      const labels = item.allLabels.subarray(volume * voxels, (volume + 1) * voxels)
      const step = await session.forwardBackward(model, { images, count: 1 }, labels, item.loss, { seed: 0 })
      expect(Math.abs(step.loss - training!.losses64[index]!)).toBeLessThan(LOSS_OF_FIVE_STEPS)
      adamStep(model.parameters, step.gradients, adam, { ...recipe, ...oneCycle(index, training!.totalSteps, recipe) })
      updateRunningStatistics(layout, model.statistics, step.batchStatistics, step.statisticSamples)
    }
    session.dispose()
    // Adam takes a whole step where a gradient is only rounding, so biases before BatchNorm may end anywhere within five steps.
    for (const { name, shape, offset } of layout.parameters) {
      if (item.spec.normalization === 'batch' && name.endsWith('.0.bias')) continue
      const end = offset + shape.reduce((product, n) => product * n, 1)
      const truth = training!.model.parameters.subarray(offset, end)
      expect(relativeMaximum(model.parameters.subarray(offset, end), truth), name).toBeLessThan(GRADIENTS)
    }
  })

  test('whatever the spec and the grid, logits, loss and gradients are those of the reference', async () => {
    await fc.assert(
      fc.asyncProperty(anyProblem, async ({ spec, grid, model, batch, labels, loss, seed }) => {
        const results = []
        for (const one of [createReferenceEngine(), engine]) {
          const session = await one.createSession(spec, grid, { threads: 2 })
          const { logits } = await session.forward(model, batch, { logits: true })
          const step = await session.forwardBackward(model, batch, labels, loss, { seed })
          results.push({ logits: logits!, ...step })
          session.dispose()
        }
        const [truth, found] = results
        expect(relativeMaximum(found!.logits, truth!.logits)).toBeLessThan(LOGITS)
        expect(Math.abs(found!.loss - truth!.loss)).toBeLessThan(LOSS * Math.max(1, truth!.loss))
        const errors = relativeByTensor(modelLayout(spec), found!.gradients, truth!.gradients)
        expect(Math.max(...Object.values(errors)), JSON.stringify(errors)).toBeLessThan(GRADIENTS)
      }),
      { numRuns: 15, seed: 1 }, // fixed: at the kink of ReLU the sign of a rounding decides
    )
  })

  test('floats that are bytes over 255 give what the bytes give', async () => {
    const { model, batch } = defaultCase
    const session = await open(defaultCase)
    const images = Float32Array.from(batch.images, (value) => value / 255)
    const [fromFloats, fromBytes] = [
      await session.forward(model, { images, count: 1 }, { logits: true }),
      await session.forward(model, batch, { logits: true }),
    ]
    session.dispose()
    expect(relativeMaximum(fromFloats.logits!, fromBytes.logits!)).toBeLessThan(LOGITS)
  })

  test('a batch of two volumes is segmented as each of them alone', async () => {
    const { model, batch } = twoVolumes
    const session = await open(twoVolumes)
    const together = await session.forward(model, batch)
    const half = batch.images.length / 2
    const alone = []
    for (const images of [batch.images.subarray(0, half), batch.images.subarray(half)]) {
      alone.push(...(await session.forward(model, { images, count: 1 })).labels)
    }
    session.dispose()
    expect([...together.labels]).toEqual(alone)
  })

  test.each(trainable)('$name: 1, 2 and 3 threads, and a second run, give the same bits', async (item) => {
    const first = await stepOf(item, { threads: 1 })
    for (const threads of [1, 2, 3]) expect(await stepOf(item, { threads })).toEqual(first)
  })

  test('recomputing layers does not change a bit', async () => {
    const kept = await stepOf(defaultCase, { checkpointing: 'none' })
    expect(await stepOf(defaultCase, { checkpointing: 'layer' })).toEqual(kept)
    expect(await stepOf(defaultCase, { checkpointing: 'auto' })).toEqual(kept)
  })

  test('a session keeps nothing of the calls before', async () => {
    const { model, batch, labels, loss } = defaultCase
    const session = await open(defaultCase)
    const first = await session.forwardBackward(model, batch, labels, loss, { seed: 0 })
    await session.forward(initializeModel(defaultCase.spec, 1), batch)
    await session.evaluate(initializeModel(defaultCase.spec, 2), batch, labels, loss)
    expect(await session.forwardBackward(model, batch, labels, loss, { seed: 0 })).toEqual(first)
    session.dispose()
  })

  test('calls made at the same time are queued', async () => {
    const { model, batch, labels, loss } = defaultCase
    const session = await open(defaultCase)
    const alone = await session.forwardBackward(model, batch, labels, loss, { seed: 0 })
    const both = await Promise.all([
      session.forwardBackward(model, batch, labels, loss, { seed: 0 }),
      session.forward(model, batch),
      session.forwardBackward(model, batch, labels, loss, { seed: 0 }),
    ])
    session.dispose()
    expect([both[0], both[2]]).toEqual([alone, alone])
  })

  test('the seed chooses what dropout drops; evaluation drops nothing', async () => {
    const spec = MeshNetSpecSchema.parse({ channels: 5, dilations: [1, 2, 4], dropout: 0.4 })
    const item = { ...defaultCase, spec, model: initializeModel(spec, 1) }
    const [a, again, b] = [await stepOf(item, {}, 1), await stepOf(item, {}, 1), await stepOf(item, {}, 2)]
    expect(again).toEqual(a)
    expect(b.gradients).not.toEqual(a.gradients)
    const logitsOf = async (dropout: number) => {
      const session = await open({ ...item, spec: { ...spec, dropout } })
      const { logits } = await session.forward(item.model, item.batch, { logits: true })
      session.dispose()
      return logits
    }
    expect(await logitsOf(0.4)).toEqual(await logitsOf(0))
  })

  test('arrays that do not fit, and labels that no class has, are refused', async () => {
    const { model, batch, labels, loss } = defaultCase
    const session = await open(defaultCase)
    const step = (change: { images?: Uint8Array; labels?: Uint8Array; parameters?: Float32Array }) =>
      session.forwardBackward(
        { ...model, parameters: change.parameters ?? model.parameters },
        { images: change.images ?? batch.images, count: 1 },
        change.labels ?? labels,
        loss,
        { seed: 0 },
      )
    const refused = expect.objectContaining({ code: 'ENGINE_INPUT' })
    await expect(step({ images: new Uint8Array(3) })).rejects.toEqual(refused)
    await expect(step({ labels: new Uint8Array(3) })).rejects.toEqual(refused)
    await expect(step({ labels: labels.map(() => 3) })).rejects.toEqual(refused)
    await expect(step({ parameters: new Float32Array(3) })).rejects.toEqual(refused)
    await expect(step({})).resolves.toBeDefined() // the session lives on
    session.dispose()
  })

  test('instance normalisation is not trained, and says so', async () => {
    const item = golden.find(({ spec }) => spec.normalization === 'instance')!
    await expect(stepOf(item)).rejects.toMatchObject({ code: 'MODEL_UNSUPPORTED' })
  })

  test('a signal that is already aborted stops the call', async () => {
    const { model, batch } = defaultCase
    const session = await open(defaultCase)
    await expect(session.forward(model, batch, { signal: AbortSignal.abort() })).rejects.toThrow()
    session.dispose()
  })
}

const anyProblem = fc
  .record({
    spec: fc.record({
      classes: fc.integer({ min: 2, max: 6 }),
      channels: fc.integer({ min: 1, max: 9 }),
      dilations: fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 3 }),
      activation: fc.constantFrom('elu', 'relu', 'gelu'),
      normalization: fc.constantFrom('batch', 'none'),
      convolutionBias: fc.boolean(),
      dropout: fc.constantFrom(0, 0.3),
    }),
    grid: fc.record({
      depth: fc.integer({ min: 2, max: 7 }),
      height: fc.integer({ min: 2, max: 7 }),
      width: fc.integer({ min: 5, max: 37 }),
    }),
    count: fc.integer({ min: 1, max: 2 }),
    labelSmoothing: fc.constantFrom(0, 0.1),
    seed: fc.nat({ max: 1e6 }),
  })
  .map(({ spec: fields, grid, count, labelSmoothing, seed }) => {
    const spec = MeshNetSpecSchema.parse(fields)
    const random = createRandom(seed, 'problem')
    const voxels = count * voxelCount(grid)
    return {
      spec,
      grid,
      seed,
      model: initializeModel(spec, seed),
      batch: { images: Uint8Array.from({ length: voxels }, () => random.integer(256)), count },
      labels: Uint8Array.from({ length: voxels }, () => random.integer(spec.classes)),
      loss: { classWeights: Array.from({ length: spec.classes }, () => 0.1 + random.uniform()), labelSmoothing },
    }
  })

/** The class with the largest logit, the lowest of equal ones. */
function argmaxOf(logits: Float32Array, { batch, spec, labels }: GoldenCase): Uint8Array {
  const voxels = labels.length / batch.count
  return Uint8Array.from(labels, (_, i) => {
    const first = Math.floor(i / voxels) * spec.classes * voxels + (i % voxels)
    let best = 0
    for (let c = 1; c < spec.classes; c++) if (logits[first + c * voxels]! > logits[first + best * voxels]!) best = c
    return best
  })
}
