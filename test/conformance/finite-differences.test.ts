import { createRandom, MeshNetSpecSchema } from '@meshfl/core'
import { initializeModel, modelLayout, voxelCount } from '@meshfl/engine'
import { ReferenceNetwork } from '@meshfl/testkit'
import { describe, expect, test } from 'vitest'
import { relativeByTensor } from './compare.js'
import { openEveryEngineAndShim, testMissing } from './engines.js'

/** Of each tensor's norm: float32 rounds to 6e-8, and a gradient is a sum over voxels with both signs. */
const GRADIENTS = 1e-5
/** Of a parameter, which is about 0.1: truncation leaves about 1e-9 of a gradient, rounding 1e-11. */
const STEP = 1e-5

// Chains of three and more planes and of fewer, whole vectors and the rest of a row, every tap inside somewhere.
const problems = [
  { name: 'five channels, as the default', spec: { dilations: [1, 2, 3] }, depth: 9, height: 4, width: 17 },
  { name: 'a dilation of half a row', spec: { dilations: [2, 16] }, depth: 5, height: 3, width: 35 },
  {
    name: 'no normalisation, GELU, bias and dropout',
    spec: {
      channels: 6,
      dilations: [1, 3],
      activation: 'gelu',
      normalization: 'none',
      convolutionBias: true,
      dropout: 0.3,
    },
    depth: 7,
    height: 5,
    width: 19,
  },
].map(({ name, spec: fields, ...grid }) => {
  const spec = MeshNetSpecSchema.parse({ channels: 5, ...fields })
  const random = createRandom(1, name)
  const voxels = voxelCount(grid)
  return {
    name,
    spec,
    grid,
    model: initializeModel(spec, 2),
    batch: { images: Uint8Array.from({ length: voxels }, () => random.integer(256)), count: 1 },
    labels: Uint8Array.from({ length: voxels }, () => random.integer(spec.classes)),
    loss: { classWeights: [0.2, 0.5, 0.3], labelSmoothing: 0.1 },
    seed: 3,
  }
})

/** The gradient by every parameter, by central differences of the loss in float64. */
function differences({ spec, grid, model, batch, labels, loss, seed }: (typeof problems)[number]): Float32Array {
  const network = new ReferenceNetwork(spec)
  const images = Float64Array.from(batch.images, (value) => value / 255)
  const volumes = { images, count: batch.count, grid }
  const parameters = Float64Array.from(model.parameters)
  const moved = { parameters, statistics: Float64Array.from(model.statistics) }
  return Float32Array.from(parameters, (value, at) => {
    const [above, below] = [value + STEP, value - STEP].map((there) => {
      parameters[at] = there
      return network.trainingLoss(moved, volumes, labels, loss, seed)
    })
    parameters[at] = value
    return (above! - below!) / (2 * STEP)
  })
}

const candidates = await openEveryEngineAndShim()

describe.each(problems)('the gradient by every parameter: $name', (problem) => {
  const truth = differences(problem)

  for (const candidate of candidates) {
    const title = `is that of finite differences in float64 on the ${candidate.name} engine`
    if (!('engine' in candidate)) {
      testMissing(title, candidate)
      continue
    }
    test(title, async () => {
      const { spec, grid, model, batch, labels, loss, seed } = problem
      const session = await candidate.engine.createSession(spec, grid, { threads: 2 })
      const { gradients } = await session.forwardBackward(model, batch, labels, loss, { seed })
      session.dispose()
      const errors = relativeByTensor(modelLayout(spec), gradients, truth)
      expect(Math.max(...Object.values(errors)), JSON.stringify(errors)).toBeLessThan(GRADIENTS)
    })
  }
})
