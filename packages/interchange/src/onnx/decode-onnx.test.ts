import { MeshflError, MeshNetSpecSchema } from '@meshfl/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assembleModel } from '../assemble-model.js'
import { golden, torchFixture } from '../golden-state.fixture.js'
import { modelOf } from '../random-model.fixture.js'
import { decodeModelOf } from '../read-model.js'
import { foldBatchNorm } from '../tfjs/fold-batch-norm.js'
import { decodeOnnx } from './decode-onnx.js'
import { encodeOnnx } from './encode-onnx.js'
import { field, message } from './protobuf.js'

const spec = MeshNetSpecSchema.parse({ channels: 2, dilations: [1, 3] })
const state = modelOf(spec, 1)
const good = encodeOnnx(spec, state, { metadata: { k: 'v' } })

test('a graph tells dilations, activation and normalisation, and metadata_props are kept', () => {
  const { parts, metadata } = decodeOnnx(good, 'a.onnx')
  expect(parts).toMatchObject({ channels: 2, classes: 3, dilations: [1, 3], activation: 'elu', normalization: 'batch' })
  expect(metadata).toEqual({ k: 'v' })
})

const node = (operator: string, inputs: string[], output: string, ...attributes: Uint8Array[]): Uint8Array =>
  field(
    1,
    message(
      ...inputs.map((input) => field(1, input)),
      field(2, output),
      field(4, operator),
      ...attributes.map((each) => field(5, each)),
    ),
  )
const integers = (name: string, ...values: number[]): Uint8Array =>
  message(field(1, name), ...values.map((value) => field(8, value)))
const float = (name: string, value: number): Uint8Array => message(field(1, name), field(2, { float: value }))
const tensor = (name: string, value: number, ...shape: number[]): Uint8Array => {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value)
  return field(
    5,
    message(...shape.map((n) => field(1, n)), field(2, 1), field(8, name), field(9, new Uint8Array(values.buffer))),
  )
}
/** A file of one input `x`, one output `y`, and two 1-channel kernels `w` and `h`. */
const file = (...parts: Uint8Array[]): Uint8Array => {
  const value = (name: string): Uint8Array => message(field(1, name))
  const weights = [tensor('w', 0.5, 1, 1, 3, 3, 3), tensor('h', 1, 2, 1, 1, 1, 1)]
  return message(field(1, 8), field(7, message(...parts, ...weights, field(11, value('x')), field(12, value('y')))))
}
const padded = integers('pads', 1, 1, 1, 1, 1, 1)
const first = node('Conv', ['x', 'w'], 'a', padded)
const last = node('Conv', ['b', 'h'], 'y')

test('what torch.onnx.export writes is read: with BatchNorm to the bit, or folded by PyTorch as we fold it', () => {
  const read = (name: string) => decodeOnnx(torchFixture(name), name).parts
  const preserved = assembleModel(read('preserved.onnx'), {}, 'zyx', 'preserved.onnx')
  expect(preserved).toEqual({ spec: golden.spec, state: golden.state, assumed: [] })
  const folded = assembleModel(read('folded.onnx'), {}, 'zyx', 'folded.onnx')
  const ours = foldBatchNorm(golden.spec, golden.state)
  expect(folded.spec).toEqual(ours.spec)
  for (const [i, value] of folded.state.parameters.entries()) expect(value).toBeCloseTo(ours.state.parameters[i]!, 5)
})

test('a chain of operators is read: without bias, with Identity and Dropout, in any order of nodes', () => {
  const { parts } = decodeOnnx(file(last, node('Dropout', ['d'], 'b'), first, node('Relu', ['a'], 'd')), 'a.onnx')
  expect(parts).toMatchObject({ channels: 1, classes: 2, dilations: [1], activation: 'relu', normalization: 'none' })
  expect(parts.head.bias).toEqual(new Float32Array(2))
})

/** A file whose one block has a BatchNorm of these numbers. */
const normalized = (weight: number, variance: number, ...attributes: Uint8Array[]): Uint8Array => {
  const norm = [weight, 2, 3, variance].map((value, i) => tensor(`n${i}`, value, 1))
  const normalize = node('BatchNormalization', ['a', 'n0', 'n1', 'n2', 'n3'], 'n', ...attributes)
  return file(...norm, first, normalize, node('Elu', ['n'], 'b'), last)
}

test('the epsilon of a BatchNorm that is not ours is made up for in its variance', () => {
  const { parts } = decodeOnnx(normalized(1, 4, float('epsilon', 0.5)), 'a.onnx')
  expect(parts.blocks[0]!.normalization!.variance[0]).toBeCloseTo(4.5 - 1e-5, 6)
})

test('an epsilon smaller than ours is made up for in the weight where the variance has no room for it', () => {
  for (const variance of [0, 4e-6, 8.9e-6]) {
    const { parts } = decodeOnnx(normalized(3, variance, float('epsilon', 1e-6)), 'a.onnx')
    const { state } = assembleModel(parts, {}, 'zyx', 'a.onnx')
    const block = parts.blocks[0]!.normalization!
    expect(state.statistics[1]).toBe(0)
    expect(block.weight[0]! / Math.sqrt(1e-5)).toBeCloseTo(3 / Math.sqrt(variance + 1e-6), 2)
  }
})

test('a BatchNorm that cannot be ours is refused for what it is', () => {
  const refusals: [Uint8Array, string][] = [
    [normalized(1, 0, float('epsilon', 0)), 'divides by it'],
    [normalized(1, 1, float('epsilon', -1)), 'an epsilon of -1'],
    [normalized(1, 1, float('epsilon', Number.NaN)), 'an epsilon of NaN'],
    [normalized(1, 1, message(field(1, 'training_mode'), field(3, 1))), 'in training mode'],
  ]
  for (const [bytes, words] of refusals) {
    const refusal = { code: 'IMPORT_NOT_MESHNET', message: expect.stringContaining(words) }
    expect(() => decodeOnnx(bytes, 'a.onnx')).toThrow(expect.objectContaining(refusal))
  }
  expect(() => decodeOnnx(normalized(1, 1, message(field(1, 'training_mode'), field(3, 0))), 'a.onnx')).not.toThrow()
  // Not made a variance by adding the epsilon.
  const { parts } = decodeOnnx(normalized(1, -0.25, float('epsilon', 0.5)), 'a.onnx')
  expect(() => assembleModel(parts, {}, 'zyx', 'a.onnx')).toThrow(
    expect.objectContaining({ code: 'IMPORT_NOT_FINITE' }),
  )
})

test('an operator of another domain than that of ONNX is refused, whatever its name', () => {
  const relu = (domain: string): Uint8Array =>
    field(1, message(field(1, 'a'), field(2, 'b'), field(4, 'Relu'), field(7, domain)))
  for (const domain of ['', 'ai.onnx'])
    expect(decodeOnnx(file(first, relu(domain), last), 'a.onnx').parts.activation).toBe('relu')
  const words = 'the operator "Relu" of the domain "com.example"'
  expect(() => decodeOnnx(file(first, relu('com.example'), last), 'a.onnx')).toThrow(
    expect.objectContaining({ code: 'IMPORT_NOT_MESHNET', message: expect.stringContaining(words) }),
  )
})

/** float16 as onnx.proto keeps it without raw_data: whole numbers, of which each is the bits of one. */
const halves = field(
  5,
  message(...[1, 1, 3, 3, 3].map((n) => field(1, n)), field(2, 10), field(8, 'f'), field(5, new Uint8Array(27))),
)

test('what is no chain of a MeshNet is refused in words', () => {
  const relu = node('Relu', ['a'], 'b')
  const refusals: [Uint8Array[], string][] = [
    [[first, node('Softmax', ['a'], 'b'), last], 'the operator "Softmax"'],
    [[first, node('constructor', ['a'], 'b'), last], 'the operator "constructor"'],
    [[first, node('Relu', ['a'], 'b'), node('Erf', ['a'], 'e'), last], 'it is no chain'],
    [[node('Conv', ['x', 'w'], 'a'), relu, last], 'not padded by its dilation'],
    [[node('Conv', ['x', 'w'], 'a', padded, integers('dilations', 2, 2, 2)), relu, last], 'not padded by its dilation'],
    [[node('Conv', ['x', 'w'], 'a', padded, integers('strides', 2, 2, 2)), relu, last], 'a stride or groups'],
    [[node('Conv', ['x', 'w'], 'a', integers('pads', 1, 1, 1)), relu, last], 'has 3 pads, not 6'],
    [[node('Conv', ['x', 'w'], 'a', padded, integers('dilations', 1)), relu, last], 'has 1 dilations, not 3'],
    [[node('Conv', ['x', 'w'], 'a', padded, integers('strides', 1)), relu, last], 'has 1 strides, not 3'],
    [[halves, node('Conv', ['x', 'f'], 'a', padded), relu, last], 'not in raw_data'],
    [[node('Conv', ['x', 'q'], 'a', padded), relu, last], 'are not in the file'],
    [[first, node('Elu', ['a'], 'b', float('alpha', 0.5)), last], 'an alpha of 0.5'],
    [[node('Relu', ['x'], 'a'), node('Conv', ['a', 'w'], 'b', padded), last], 'follows its input'],
    [[first, relu], 'does not end at its output'],
    [[first, node('Relu', ['a'], 'x')], 'no chain'],
  ]
  for (const [parts, words] of refusals) {
    const error = (() => {
      try {
        return decodeOnnx(file(...parts), 'a.onnx')
      } catch (thrown) {
        return thrown
      }
    })()
    expect(error).toMatchObject({ code: 'IMPORT_NOT_MESHNET', message: expect.stringContaining(words) })
  }
})

test('the numbers of all messages together are bounded', () => {
  // Each tensor alone is within the bound.
  const long = field(5, message(field(1, new Uint8Array(60_000).fill(1))))
  expect(() => decodeOnnx(file(long, first, node('Relu', ['a'], 'b'), last), 'a.onnx')).not.toThrow()
  expect(() => decodeOnnx(file(long, long, first, last), 'a.onnx')).toThrow(
    expect.objectContaining({ code: 'ONNX_MALFORMED', message: expect.stringContaining('more than 100000 fields') }),
  )
})

test('whatever the bytes, the answer is a model or words', () => {
  const never = (bytes: Uint8Array): void => {
    try {
      assembleModel(decodeModelOf(bytes, 'a.onnx').parts, {}, 'zyx', 'a.onnx')
    } catch (error) {
      if (!(error instanceof MeshflError)) throw error
    }
    try {
      decodeOnnx(bytes, 'a.onnx')
    } catch (error) {
      if (!(error instanceof MeshflError)) throw error
    }
  }
  for (let length = 0; length < good.length; length += 7) never(good.subarray(0, length))
  const flips = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(flips, (changes) => {
      const damaged = Uint8Array.from(good)
      for (const [at, value] of changes) damaged[at] = value
      never(damaged)
    }),
    { numRuns: 3000 },
  )
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), never))
})
