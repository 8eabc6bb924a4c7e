import { bytesOf } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import type { Problem } from './problem.js'

/** What a field of a protobuf message holds: a number (varint), a float32, text or bytes, or messages. */
type Value = number | { float: number } | string | Uint8Array

const FLOAT = 1
const OPSET = 13
const IR_VERSION = 8

/**
 * The network as an ONNX file, for a runtime to be timed on: (1, 1, D, H, W) floats -> (1, classes, D, H, W) logits, evaluation
 * mode. Written field by field after onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
 */
export function encodeOnnxModel({ spec, grid, model }: Problem): Uint8Array {
  const { parameters, statistics } = modelLayout(spec)
  const nodes: Uint8Array[] = []
  const initializers = [
    ...parameters.map(({ name, shape, offset }) => tensor(name, shape, model.parameters, offset)),
    ...statistics.map(({ name, shape, offset }) => tensor(name, shape, model.statistics, offset)),
  ]
  let value = 'image'
  spec.dilations.forEach((dilation, block) => {
    const [convolved, normalised, activated] = ['c', 'n', 'a'].map((kind) => `${kind}${block}`) as [
      string,
      string,
      string,
    ]
    const name = `model.${block}`
    nodes.push(
      node('Conv', [value, `${name}.0.weight`, `${name}.0.bias`], convolved, [
        integers('dilations', [dilation, dilation, dilation]),
        integers('kernel_shape', [3, 3, 3]),
        integers('pads', new Array<number>(6).fill(dilation)),
      ]),
      node(
        'BatchNormalization',
        [convolved, ...['weight', 'bias', 'running_mean', 'running_var'].map((part) => `${name}.1.${part}`)],
        normalised,
        [message(field(1, 'epsilon'), field(2, { float: 1e-5 }), field(20, 1))],
      ),
      node('Elu', [normalised], activated, []),
    )
    value = activated
  })
  const head = `model.${spec.dilations.length}`
  nodes.push(node('Conv', [value, `${head}.weight`, `${head}.bias`], 'logits', [integers('kernel_shape', [1, 1, 1])]))
  const { depth, height, width } = grid
  const graph = message(
    ...nodes.map((bytes) => field(1, bytes)),
    field(2, 'meshnet'),
    ...initializers.map((bytes) => field(5, bytes)),
    field(11, floats('image', [1, 1, depth, height, width])),
    field(12, floats('logits', [1, spec.classes, depth, height, width])),
  )
  return message(field(1, IR_VERSION), field(7, graph), field(8, message(field(1, ''), field(2, OPSET))))
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
function tensor(name: string, shape: readonly number[], values: Float32Array, offset: number): Uint8Array {
  const count = shape.reduce((product, n) => product * n, 1)
  const raw = bytesOf(values.subarray(offset, offset + count))
  return message(...shape.map((n) => field(1, n)), field(2, FLOAT), field(8, name), field(9, raw))
}

/** ValueInfoProto of a float tensor. */
function floats(name: string, shape: readonly number[]): Uint8Array {
  const dimensions = message(...shape.map((n) => field(1, message(field(1, n)))))
  return message(field(1, name), field(2, message(field(1, message(field(1, FLOAT), field(2, dimensions))))))
}

const message = (...fields: Uint8Array[]): Uint8Array => Buffer.concat(fields)

function field(number: number, value: Value): Uint8Array {
  if (typeof value === 'number') return Buffer.concat([varint(number << 3), varint(value)])
  if (typeof value === 'object' && 'float' in value) {
    const bytes = Buffer.alloc(4)
    bytes.writeFloatLE(value.float)
    return Buffer.concat([varint((number << 3) | 5), bytes])
  }
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes])
}

/** A whole number, seven bits a byte, lowest first. */
function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let left = value
  while (left > 127) {
    bytes.push((left % 128) | 128)
    left = Math.floor(left / 128)
  }
  return Uint8Array.from([...bytes, left])
}
