import { createRandom, elementCount, type MeshNetSpec, type ModelState } from '@meshfl/core'
import { modelLayout } from './layout.js'

/**
 * Initial weights from a seed: convolutions kaiming normal (fan_out, gain sqrt(2)), biases 0, BatchNorm 1 and 0, running mean 0 and
 * variance 1. The same floats on every engine and site.
 */
export function initializeModel(spec: MeshNetSpec, seed: number): ModelState {
  const layout = modelLayout(spec)
  const parameters = new Float32Array(layout.parameterCount)
  const statistics = new Float32Array(layout.statisticCount)
  for (const { name, shape, offset } of layout.parameters) {
    const values = parameters.subarray(offset, offset + elementCount(shape))
    if (shape.length === 5) {
      const [outputs, , ...kernel] = shape as [number, number, ...number[]]
      const deviation = Math.sqrt(2 / (outputs * elementCount(kernel)))
      const random = createRandom(seed, 'initialize', name)
      for (let i = 0; i < values.length; i++) values[i] = deviation * random.normal()
    } else if (name.endsWith('.1.weight')) {
      values.fill(1)
    }
  }
  for (const { name, shape, offset } of layout.statistics) {
    if (name.endsWith('running_var')) statistics.fill(1, offset, offset + elementCount(shape))
  }
  return { parameters, statistics }
}
