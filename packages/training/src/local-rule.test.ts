import { type LocalRule, type ModelState, modelSha256, StudySchema, type TrainOutcome } from '@meshfl/core'
import { initializeModel, type Session } from '@meshfl/engine'
import { createReferenceEngine, createTinyDataset } from '@meshfl/testkit'
import { expect, test } from 'vitest'
import { decodeAdamState } from './adam.js'
import { LocalTrainer } from './local-trainer.js'
import { oneCycle } from './one-cycle.js'
import { createStepOptimizer } from './step-optimizer.js'

const study = StudySchema.parse({
  model: { channels: 2, dilations: [1, 2], dropout: 0.2 },
  recipe: { maxLearningRate: 0.05 },
})
const { signal } = new AbortController()
const start = initializeModel(study.model, 7)
const P = start.parameters.length

/** A trainer, and every raw gradient with the parameters that it was taken at. */
async function openTrainer() {
  const tiny = createTinyDataset({ seed: 1, train: 3, valid: 0 })
  const real = await createReferenceEngine().createSession(study.model, tiny.grid)
  const seen: { parameters: Float32Array; gradients: Float32Array }[] = []
  const session: Session = {
    grid: real.grid,
    memory: real.memory,
    forward: real.forward.bind(real),
    evaluate: real.evaluate.bind(real),
    dispose: real.dispose.bind(real),
    async forwardBackward(model, ...rest) {
      const step = await real.forwardBackward(model, ...rest)
      seen.push({ parameters: model.parameters.slice(), gradients: step.gradients.slice() })
      return step
    },
  }
  const { model: spec, recipe, classNames } = study
  const trainer = new LocalTrainer({ session, spec, recipe, seed: 7, site: 'site-1', classNames, ...tiny })
  return { trainer, seen }
}

async function rounds(rules: LocalRule[]) {
  const { trainer, seen } = await openTrainer()
  const outcomes: TrainOutcome[] = []
  let model: ModelState = start
  let state: Uint8Array | null = null
  for (const [index, rule] of rules.entries()) {
    const outcome = await trainer.train({
      ...{ round: index + 1, rounds: rules.length, model, state, rule, signal },
      onStep: () => undefined,
    })
    outcomes.push(outcome)
    model = outcome.model
    state = outcome.state
  }
  return { outcomes, seen }
}

/** PyTorch's Adam over one parameter in float64, from the gradients that it is to take. */
function adamOf(value: number, gradients: readonly number[], totalSteps: number): number {
  let [m, v, w] = [0, 0, value]
  gradients.forEach((gradient, k) => {
    const { learningRate, beta1 } = oneCycle(k, totalSteps, study.recipe)
    m = beta1 * m + (1 - beta1) * gradient
    v = 0.999 * v + 0.001 * gradient ** 2
    const [mHat, vHat] = [m / (1 - beta1 ** (k + 1)), v / (1 - 0.999 ** (k + 1))]
    w -= (learningRate * mHat) / (Math.sqrt(vHat) + 1e-8)
  })
  return w
}

test('fedprox with mu 0 is fedavg, bit for bit: model and optimiser', async () => {
  const plain = await rounds([{ kind: 'plain' }, { kind: 'plain' }])
  const proximal = await rounds([
    { kind: 'proximal', mu: 0 },
    { kind: 'proximal', mu: 0 },
  ])
  plain.outcomes.forEach((outcome, i) => {
    expect(modelSha256(proximal.outcomes[i]!.model)).toBe(modelSha256(outcome.model))
    expect(proximal.outcomes[i]!.state).toEqual(outcome.state)
  })
})

test('fedprox adds mu times the distance from the round’s model to every gradient', async () => {
  const { outcomes, seen } = await rounds([{ kind: 'proximal', mu: 0.3 }])
  for (let i = 0; i < P; i++) {
    const gradients = seen.map((step) => step.gradients[i]! + 0.3 * (step.parameters[i]! - start.parameters[i]!))
    expect(Math.abs(outcomes[0]!.model.parameters[i]! - adamOf(start.parameters[i]!, gradients, 3))).toBeLessThan(1e-6)
  }
})

test('a stronger pull keeps the model nearer to where the round began', async () => {
  const moved = async (rule: LocalRule): Promise<number> => {
    const { parameters } = (await rounds([rule])).outcomes[0]!.model
    return Math.hypot(...parameters.map((value, i) => value - start.parameters[i]!))
  }
  expect(await moved({ kind: 'proximal', mu: 100 })).toBeLessThan(0.8 * (await moved({ kind: 'plain' })))
})

test('scaffold steps along g - c_i + c and sends its new c_i, with which the next round begins', async () => {
  const control = start.parameters.map((_, i) => 0.01 * Math.sin(i))
  const { outcomes, seen } = await rounds([
    { kind: 'scaffold', control: new Float32Array(P) },
    { kind: 'scaffold', control },
  ])
  for (let i = 0; i < P; i++) {
    const raw = seen.map((step) => step.gradients[i]!)
    const own = (raw[0]! + raw[1]! + raw[2]!) / 3
    const next = (raw[3]! + raw[4]! + raw[5]!) / 3
    expect(Math.abs(outcomes[0]!.vector![i]! - own)).toBeLessThan(1e-6)
    expect(Math.abs(outcomes[1]!.vector![i]! - next)).toBeLessThan(1e-6)
  }
  // Adam's mean holds what it was given: m = beta1 m + (1 - beta1) g, from the first round's on.
  const { mean } = decodeAdamState(outcomes[1]!.state, P)
  for (let i = 0; i < P; i++) {
    const raw = seen.map((step) => step.gradients[i]!)
    const own = (raw[0]! + raw[1]! + raw[2]!) / 3
    let m = 0
    raw.forEach((gradient, k) => {
      const { beta1 } = oneCycle(k, 6, study.recipe)
      m = beta1 * m + (1 - beta1) * (k < 3 ? gradient : gradient - own + control[i]!)
    })
    expect(Math.abs(mean[i]! - m)).toBeLessThan(1e-6)
  }
})

test('the reference’s rule takes one more Adam step before a round, and sends its last gradient', async () => {
  const gradient = start.parameters.map((_, i) => Math.cos(i))
  const { outcomes, seen } = await rounds([
    { kind: 'meshfl-reference', gradient: null },
    { kind: 'meshfl-reference', gradient },
  ])
  expect(outcomes[0]!.vector).toEqual(seen[2]!.gradients)
  expect(outcomes[1]!.vector).toEqual(seen[5]!.gradients)
  expect(decodeAdamState(outcomes[0]!.state, P).step).toBe(3)
  expect(decodeAdamState(outcomes[1]!.state, P).step).toBe(7)
  const after = outcomes[0]!.model.parameters
  const moved = seen[3]!.parameters.filter((value, i) => value !== after[i]).length
  expect(moved).toBeGreaterThan(P / 2)
})

test('a control variate of another model is refused', async () => {
  const { trainer } = await openTrainer()
  const { outcomes } = await rounds([{ kind: 'plain' }])
  const rule = { kind: 'scaffold', control: new Float32Array(P) } as const
  const { state } = outcomes[0]!
  const task = { round: 2, rounds: 2, model: start, state, rule, signal, onStep: () => undefined }
  await expect(trainer.train(task)).rejects.toMatchObject({ code: 'OPTIMIZER_STATE_INVALID' })
})

test('gradient by gradient with the step optimiser is a round of training, bit for bit', async () => {
  const { outcomes } = await rounds([{ kind: 'plain' }, { kind: 'plain' }])
  const { trainer } = await openTrainer()
  const optimizer = createStepOptimizer(study.model, study.recipe)
  let model: ModelState = start
  let state: Uint8Array | null = null
  for (let position = 0; position < 6; position++) {
    const [round, step] = [Math.floor(position / 3) + 1, (position % 3) + 1]
    const { samples, metrics, ...update } = await trainer.gradient({ round, step, model, signal })
    expect([samples, Number.isFinite(metrics.loss)]).toEqual([1, true])
    const next = optimizer.step(model, update, state, position, 6)
    model = next.model
    state = next.state
  }
  expect(modelSha256(model)).toBe(modelSha256(outcomes[1]!.model))
  expect(state).toEqual(outcomes[1]!.state)
})
