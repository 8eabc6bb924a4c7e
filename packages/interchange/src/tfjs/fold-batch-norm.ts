import { elementCount, type MeshNetSpec, type ModelState } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { EPSILON } from '../network-parts.js'

/**
 * The same network without BatchNorm: what its running statistics do to a convolution's output is put into weights and biases, computed in
 * float64 and rounded once. A network without BatchNorm comes back with the biases that it lacks, of 0.
 */
export function foldBatchNorm(spec: MeshNetSpec, state: ModelState): { spec: MeshNetSpec; state: ModelState } {
  const layout = modelLayout(spec)
  const tensors = new Map(
    [
      ...layout.parameters.map((entry) => ({ ...entry, values: state.parameters })),
      ...layout.statistics.map((entry) => ({ ...entry, values: state.statistics })),
    ].map(({ name, shape, offset, values }) => [name, values.subarray(offset, offset + elementCount(shape))]),
  )
  const folded: MeshNetSpec = { ...spec, normalization: 'none', convolutionBias: true }
  const foldedLayout = modelLayout(folded)
  const parameters = new Float32Array(foldedLayout.parameterCount)
  for (const { name, offset } of foldedLayout.parameters) {
    const values = tensors.get(name)
    if (values) parameters.set(values, offset) // a bias that is not there is 0
  }
  const at = new Map(foldedLayout.parameters.map(({ name, offset }) => [name, offset]))
  for (const block of spec.normalization === 'batch' ? spec.dilations.keys() : []) {
    const [scale, shift, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
      (part) => tensors.get(`model.${block}.1.${part}`)!,
    ) as [Float32Array, Float32Array, Float32Array, Float32Array]
    const [weight, bias] = ['weight', 'bias'].map((part) => at.get(`model.${block}.0.${part}`)!) as [number, number]
    const taps = (bias - weight) / spec.channels
    for (let channel = 0; channel < spec.channels; channel++) {
      const factor = scale[channel]! / Math.sqrt(variance[channel]! + EPSILON)
      for (let i = weight + channel * taps; i < weight + (channel + 1) * taps; i++) parameters[i]! *= factor
      parameters[bias + channel] = (parameters[bias + channel]! - mean[channel]!) * factor + shift[channel]!
    }
  }
  return { spec: folded, state: { parameters, statistics: new Float32Array(0) } }
}
