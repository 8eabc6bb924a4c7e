import { createFieldReader, type Fields } from './protobuf.js'

/** An operator of a graph: its inputs and outputs are names of values. */
export interface OnnxNode {
  operator: string
  /** Whose operator it is: '' and 'ai.onnx' are ONNX's own. */
  domain: string
  inputs: string[]
  outputs: string[]
  attributes: Map<string, OnnxAttribute>
}

interface OnnxAttribute {
  integers: number[]
  float: number
  text: string
}

/** Numbers that a file brings along. */
interface OnnxTensor {
  shape: number[]
  /** As onnx.proto numbers them: 1 float32, 10 float16, 11 float64, 16 bfloat16. */
  type: number
  /** Little-endian. */
  data: Uint8Array
  isExternal: boolean
}

export interface OnnxGraph {
  nodes: OnnxNode[]
  tensors: Map<string, OnnxTensor>
  inputs: string[]
  outputs: string[]
  metadata: Record<string, string>
}

/**
 * Reads the graph of an ONNX file.
 * Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
 * @throws the error that `malformed` makes of what is wrong
 */
export function readOnnxGraph(bytes: Uint8Array, malformed: (what: string) => Error): OnnxGraph {
  const read = createFieldReader(malformed)
  const model = read(bytes)
  const [graphBytes, ...others] = model.bytes(7)
  if (graphBytes === undefined || others.length > 0) throw malformed('it has no graph')
  const graph = read(graphBytes)
  const tensors = new Map(
    graph.bytes(5).map((each): [string, OnnxTensor] => {
      const fields = read(each)
      const raw = fields.bytes(9)[0]
      const type = fields.numbers(2)[0] ?? 0
      const data = raw ?? fields.fixed(type === 11 ? 10 : 4)
      return [
        fields.text(8)[0] ?? '',
        { shape: fields.numbers(1), type, data, isExternal: fields.numbers(14)[0] === 1 },
      ]
    }),
  )
  const names = (number: number): string[] => graph.bytes(number).map((each) => read(each).text(1)[0] ?? '')
  return {
    nodes: graph.bytes(1).map((each) => readNode(read(each), read)),
    tensors,
    inputs: names(11).filter((name) => !tensors.has(name)),
    outputs: names(12),
    metadata: Object.fromEntries(
      model.bytes(14).map((each) => {
        const entry = read(each)
        return [entry.text(1)[0] ?? '', entry.text(2)[0] ?? '']
      }),
    ),
  }
}

function readNode(fields: Fields, read: (message: Uint8Array) => Fields): OnnxNode {
  const attributes = fields.bytes(5).map((each): [string, OnnxAttribute] => {
    const attribute = read(each)
    const float = attribute.fixed(2)
    return [
      attribute.text(1)[0] ?? '',
      {
        integers: [...attribute.numbers(8), ...attribute.numbers(3)],
        float: float.byteLength === 4 ? Buffer.from(float).readFloatLE() : 0,
        text: attribute.text(4)[0] ?? '',
      },
    ]
  })
  return {
    operator: fields.text(4)[0] ?? '',
    domain: fields.text(7)[0] ?? '',
    inputs: fields.text(1),
    outputs: fields.text(2),
    attributes: new Map(attributes),
  }
}
