import { bytesOf, elementCount, MeshflError, type MeshNetSpec, type ModelState } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { foldBatchNorm } from './fold-batch-norm.js'
import { toKeras } from './kernel-order.js'

interface TfjsOptions {
  /** The name under which the weights will lie beside model.json. */
  weightsFile: string
  /** Voxels along the three axes of the input. */
  shape: readonly [number, number, number]
  /** Kept as it is; given the spec of the folded network. */
  metadata: (folded: MeshNetSpec) => Record<string, string>
}

/**
 * A model as brainchop and TensorFlow.js take it: a layers-model of Conv3D and Activation, BatchNorm folded, input (1, ...shape, 1) of values
 * 0 to 1, kernels (a, b, c, Ci, Co).
 * @returns the text of model.json, and the content of the file of its weights
 * @throws MeshflError `EXPORT_UNSUPPORTED` of instance normalisation, which cannot be folded and which the format lacks
 */
export function encodeTfjs(
  spec: MeshNetSpec,
  state: ModelState,
  options: TfjsOptions,
): { model: string; weights: Uint8Array } {
  if (spec.normalization === 'instance') {
    throw new MeshflError('EXPORT_UNSUPPORTED', 'a network with instance normalisation has no form in brainchop', {
      kind: 'usage',
      hint: 'export it as pth or onnx',
    })
  }
  const folded = foldBatchNorm(spec, state)
  const layers: object[] = [inputLayer(options.shape)]
  const manifest: { name: string; shape: number[]; dtype: 'float32' }[] = []
  const weights: Uint8Array[] = []
  const layout = modelLayout(folded.spec).parameters
  let last = 'input'
  for (let i = 0; i < layout.length; i += 2) {
    const [kernel, bias] = layout.slice(i, i + 2).map(({ shape, offset }) => ({
      shape,
      values: folded.state.parameters.slice(offset, offset + elementCount(shape)),
    })) as [{ shape: number[]; values: Float32Array }, { shape: number[]; values: Float32Array }]
    const [outputs, inputs, ...size] = kernel.shape as [number, number, ...number[]]
    const dilation = spec.dilations[i / 2]
    const name = dilation === undefined ? 'output' : `conv${i / 2}`
    layers.push(convolution(name, last, outputs, size, dilation ?? 1))
    manifest.push({ name: `${name}/kernel`, shape: [...size, inputs, outputs], dtype: 'float32' })
    manifest.push({ name: `${name}/bias`, shape: [outputs], dtype: 'float32' })
    weights.push(bytesOf(toKeras(kernel.values, outputs, inputs, elementCount(size))), bytesOf(bias.values))
    last = name
    if (dilation === undefined) continue
    last = `activation${i / 2}`
    layers.push(activation(last, name, spec.activation))
  }
  const model = {
    format: 'layers-model',
    generatedBy: 'keras v2.7.0',
    convertedBy: 'meshfl',
    modelTopology: {
      keras_version: '2.7.0',
      backend: 'tensorflow',
      model_config: {
        class_name: 'Functional',
        config: { name: 'meshnet', layers, input_layers: [['input', 0, 0]], output_layers: [['output', 0, 0]] },
      },
    },
    weightsManifest: [{ paths: [options.weightsFile], weights: manifest }],
    userDefinedMetadata: options.metadata(folded.spec),
  }
  return { model: `${JSON.stringify(model)}\n`, weights: Buffer.concat(weights) }
}

const inputLayer = (shape: readonly number[]): object => ({
  class_name: 'InputLayer',
  config: { batch_input_shape: [null, ...shape, 1], dtype: 'float32', sparse: false, ragged: false, name: 'input' },
  name: 'input',
  inbound_nodes: [],
})

const after = (layer: string): unknown[] => [[[layer, 0, 0, {}]]]

const convolution = (name: string, last: string, filters: number, size: number[], dilation: number): object => ({
  class_name: 'Conv3D',
  config: {
    name,
    trainable: true,
    dtype: 'float32',
    filters,
    kernel_size: size,
    strides: [1, 1, 1],
    padding: 'same',
    data_format: 'channels_last',
    dilation_rate: [dilation, dilation, dilation],
    groups: 1,
    activation: 'linear',
    use_bias: true,
    kernel_initializer: { class_name: 'Zeros', config: {} },
    bias_initializer: { class_name: 'Zeros', config: {} },
  },
  name,
  inbound_nodes: after(last),
})

const activation = (name: string, last: string, kind: string): object => ({
  class_name: 'Activation',
  config: { name, trainable: true, dtype: 'float32', activation: kind },
  name,
  inbound_nodes: after(last),
})
