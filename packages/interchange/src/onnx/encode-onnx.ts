import { bytesOf, elementCount, type MeshNetSpec, type ModelState, type TensorEntry } from '@meshfl/core'
import { type Grid, modelLayout } from '@meshfl/engine'
import { EPSILON } from '../network-parts.js'
import { field, message } from './protobuf.js'

const FLOAT = 1
/** The operators of 2020, and, where the network needs Gelu, those of 2023. */
const OPSET = 13
const GELU_OPSET = 20
const IR_VERSION = 8

interface OnnxOptions {
  /** What a runtime may plan for; default: any number of volumes of any size. */
  grid?: Grid
  /** Kept in the file's metadata_props. */
  metadata?: Record<string, string>
  /** What a person should know of it. */
  description?: string
}

/**
 * The network as an ONNX file: `image` (N, 1, D, H, W) floats -> `logits` (N, classes, D, H, W), evaluation mode. Written field by field
 * after onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). Same input, same bytes.
 */
export function encodeOnnx(spec: MeshNetSpec, state: ModelState, options: OnnxOptions = {}): Uint8Array {
  const { parameters, statistics } = modelLayout(spec)
  const initializers = [
    ...parameters.map((entry) => tensor(entry, state.parameters)),
    ...statistics.map((entry) => tensor(entry, state.statistics)),
  ]
  if (spec.normalization === 'instance') {
    const constant = (name: string, value: number): Uint8Array =>
      tensor({ name, shape: [spec.channels], offset: 0 }, new Float32Array(spec.channels).fill(value))
    initializers.push(constant('instance.scale', 1), constant('instance.bias', 0))
  }
  const dimensions: (number | string)[] = options.grid
    ? [1, options.grid.depth, options.grid.height, options.grid.width]
    : ['N', 'D', 'H', 'W']
  const [count, ...space] = dimensions as [number | string, ...(number | string)[]]
  const graph = message(
    ...nodesOf(spec).map((bytes) => field(1, bytes)),
    field(2, 'meshnet'),
    ...initializers.map((bytes) => field(5, bytes)),
    field(11, floats('image', [count, 1, ...space])),
    field(12, floats('logits', [count, spec.classes, ...space])),
  )
  return message(
    field(1, IR_VERSION),
    field(2, 'meshfl'),
    ...(options.description === undefined ? [] : [field(6, options.description)]),
    field(7, graph),
    field(8, message(field(1, ''), field(2, spec.activation === 'gelu' ? GELU_OPSET : OPSET))),
    ...Object.entries(options.metadata ?? {}).map(([key, value]) => field(14, message(field(1, key), field(2, value)))),
  )
}

const ACTIVATIONS = { elu: 'Elu', relu: 'Relu', gelu: 'Gelu' } as const

function nodesOf({ dilations, convolutionBias, normalization, activation }: MeshNetSpec): Uint8Array[] {
  const nodes: Uint8Array[] = []
  const epsilon = message(field(1, 'epsilon'), field(2, { float: EPSILON }), field(20, 1))
  let value = 'image'
  const add = (operator: string, inputs: string[], output: string, attributes: Uint8Array[]): void => {
    nodes.push(node(operator, [value, ...inputs], output, attributes))
    value = output
  }
  for (const [block, dilation] of dilations.entries()) {
    const name = `model.${block}`
    add('Conv', [`${name}.0.weight`, ...(convolutionBias ? [`${name}.0.bias`] : [])], `c${block}`, [
      integers('dilations', [dilation, dilation, dilation]),
      integers('kernel_shape', [3, 3, 3]),
      integers('pads', new Array<number>(6).fill(dilation)),
    ])
    if (normalization === 'batch') {
      const inputs = ['weight', 'bias', 'running_mean', 'running_var'].map((part) => `${name}.1.${part}`)
      add('BatchNormalization', inputs, `n${block}`, [epsilon])
    } else if (normalization === 'instance')
      add('InstanceNormalization', ['instance.scale', 'instance.bias'], `n${block}`, [epsilon])
    add(ACTIVATIONS[activation], [], `a${block}`, [])
  }
  const head = `model.${dilations.length}`
  add('Conv', [`${head}.weight`, `${head}.bias`], 'logits', [integers('kernel_shape', [1, 1, 1])])
  return nodes
}

/** NodeProto */
const node = (operator: string, inputs: string[], output: string, attributes: Uint8Array[]): Uint8Array =>
  message(
    ...inputs.map((input) => field(1, input)),
    field(2, output),
    field(4, operator),
    ...attributes.map((attribute) => field(5, attribute)),
  )

/** AttributeProto of type INTS. */
const integers = (name: string, values: readonly number[]): Uint8Array =>
  message(field(1, name), ...values.map((value) => field(8, value)), field(20, 7))

/** TensorProto of float32. */
function tensor({ name, shape, offset }: TensorEntry, values: Float32Array): Uint8Array {
  const raw = bytesOf(values.subarray(offset, offset + elementCount(shape)))
  return message(...shape.map((n) => field(1, n)), field(2, FLOAT), field(8, name), field(9, raw))
}

/** ValueInfoProto of a float tensor: dimensions of a size, or of any under a name. */
function floats(name: string, shape: readonly (number | string)[]): Uint8Array {
  const dimension = (n: number | string): Uint8Array => message(field(typeof n === 'number' ? 1 : 2, n))
  const dimensions = message(...shape.map((n) => field(1, dimension(n))))
  return message(field(1, name), field(2, message(field(1, message(field(1, FLOAT), field(2, dimensions))))))
}
