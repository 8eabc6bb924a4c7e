import { fileURLToPath } from 'node:url'
import { MeshNetSpecSchema } from '@meshfl/core'
import { initializeModel, modelLayout } from '@meshfl/engine'
import { describe, expect, test } from 'vitest'
import { type GoldenCase, readGoldenCases } from '../golden.js'
import { erf } from './activation.js'
import { crossEntropy } from './cross-entropy.js'
import { type Model64, ReferenceNetwork, type Volumes64 } from './network.js'

const golden = readGoldenCases(fileURLToPath(new URL('../../../../fixtures/golden', import.meta.url)))

function widen({ model, batch, grid }: GoldenCase): { model: Model64; volumes: Volumes64 } {
  return {
    model: { parameters: Float64Array.from(model.parameters), statistics: Float64Array.from(model.statistics) },
    volumes: { images: Float64Array.from(batch.images, (value) => value / 255), count: batch.count, grid },
  }
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length)
  let largest = 0
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!))
  return largest
}

describe.each(golden)('$name', (item) => {
  const { model, volumes } = widen(item)
  const network = new ReferenceNetwork(item.spec)

  test('the logits are those of PyTorch', () => {
    const tolerance = item.logits64 ? 1e-11 : 1e-5 // one large case keeps float32 only
    expect(largestDifference(network.forward(model, volumes), item.logits64 ?? item.logits)).toBeLessThan(tolerance)
  })

  test('the loss is that of PyTorch for every weighting and smoothing', () => {
    const voxels = item.labels.length / item.batch.count
    const logits = network.forward(model, volumes)
    for (const loss of item.losses) {
      expect(crossEntropy(logits, item.labels, item.spec.classes, voxels, loss).loss).toBeCloseTo(loss.value, 11)
    }
  })
})

describe.each(golden.filter(({ step }) => step !== null))('$name', (item) => {
  test('the gradients are those of PyTorch, and of finite differences', () => {
    const { model, volumes } = widen(item)
    const network = new ReferenceNetwork(item.spec)
    const step = network.step(model, volumes, item.labels, item.loss, 0)
    expect(step.loss).toBeCloseTo(item.step!.loss, 11)
    // The golden gradients and statistics are float64 values rounded to float32: 6e-8 of a value.
    expect(largestDifference(Float32Array.from(step.gradients), item.step!.gradients)).toBeLessThan(1e-7)
    expect(largestDifference(Float32Array.from(step.batchStatistics), item.step!.batchStatistics)).toBeLessThan(2e-6)
    expectFiniteDifferences(network, item, 0)
  })
})

test('dropout has the gradients of finite differences, and its seed chooses what is dropped', () => {
  const spec = MeshNetSpecSchema.parse({ channels: 4, dilations: [1, 2], dropout: 0.5 })
  const item = golden.find(({ name }) => name === 'default')!
  const dropping = { ...item, spec, model: initializeModel(spec, 3) }
  const network = new ReferenceNetwork(spec)
  const { model, volumes } = widen(dropping)
  const losses = [1, 1, 2].map((seed) => network.step(model, volumes, item.labels, item.loss, seed).loss)
  expect(losses[0]).toBe(losses[1])
  expect(losses[0]).not.toBe(losses[2])
  expectFiniteDifferences(network, dropping, 1)
})

test('a model with instance normalisation is not trained', () => {
  const item = golden.find(({ spec }) => spec.normalization === 'instance')!
  const { model, volumes } = widen(item)
  expect(() => new ReferenceNetwork(item.spec).step(model, volumes, item.labels, item.loss, 0)).toThrow(
    expect.objectContaining({ code: 'MODEL_UNSUPPORTED' }),
  )
})

test('erf has the values of its tables', () => {
  // Abramowitz and Stegun, table 7.1
  for (const [x, value] of [
    [0, 0],
    [0.5, 0.5204998778],
    [1, 0.8427007929],
    [2, 0.995322265],
    [-1, -0.8427007929],
    [7, 1],
  ] as const) {
    expect(erf(x)).toBeCloseTo(value, 10)
  }
})

/** Central differences of three parameters of every tensor (one in a deep network: time); truncation and rounding leave about 1e-9 of the loss. */
function expectFiniteDifferences(network: ReferenceNetwork, item: GoldenCase, seed: number): void {
  const { model, volumes } = widen(item)
  const { gradients } = network.step(model, volumes, item.labels, item.loss, seed)
  const h = 1e-5
  for (const { name, shape, offset } of modelLayout(item.spec).parameters) {
    const count = shape.reduce((product, n) => product * n, 1)
    const middle = Math.floor(count / 2)
    for (const at of new Set(item.spec.dilations.length > 3 ? [middle] : [0, middle, count - 1])) {
      const at1 = offset + at
      const lossAt = (delta: number): number => {
        const parameters = model.parameters.slice()
        parameters[at1]! += delta
        return network.trainingLoss({ ...model, parameters }, volumes, item.labels, item.loss, seed)
      }
      const difference = (lossAt(h) - lossAt(-h)) / (2 * h)
      expect(Math.abs(difference - gradients[at1]!), `${name}[${at}]`).toBeLessThan(1e-6 + 1e-4 * Math.abs(difference))
    }
  }
}
