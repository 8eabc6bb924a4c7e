import { encodeSafetensors, MeshflError, type NamedTensor } from '@meshfl/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeModelOf } from './read-model.js'
import { stateOfSafetensors } from './state-of-safetensors.js'

const tensor = (name: string, dtype: NamedTensor['dtype'], shape: number[], data: ArrayBufferView): NamedTensor => ({
  name,
  dtype,
  shape,
  data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
})

test('float16, bfloat16 and float64 are read as float32; the counter of a BatchNorm is left out', () => {
  const tensors = [
    // 1, -2, 65504, the smallest subnormal, infinity: IEEE 754 binary16
    tensor('half', 'F16', [5], Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00)),
    tensor('brain', 'BF16', [2], Uint16Array.of(0x3f80, 0xc040)),
    tensor('double', 'F64', [1], Float64Array.of(0.1)),
    tensor('0.1.num_batches_tracked', 'I64', [], new BigInt64Array(1)),
  ]
  const state = stateOfSafetensors(encodeSafetensors({ tensors, metadata: {} }), 'a.safetensors')
  expect(state.tensors.map(({ name, values }) => [name, [...values]])).toEqual([
    ['half', [1, -2, 65504, 2 ** -24, Number.POSITIVE_INFINITY]],
    ['brain', [1, -3]],
    ['double', [Math.fround(0.1)]],
  ])
})

test('a tensor of whole or 8-bit numbers is refused by its name: without it the network would be another one', () => {
  const others = [
    tensor('0.bias', 'I32', [2], new Int32Array(2)),
    tensor('0.bias', 'F8_E4M3', [2], new Uint8Array(2)),
    tensor('mask', 'BOOL', [3], new Uint8Array(3)),
  ]
  for (const other of others) {
    const bytes = encodeSafetensors({ tensors: [other], metadata: {} })
    const message = expect.stringContaining(`its tensor "${other.name}" is of ${other.dtype}`)
    expect(() => stateOfSafetensors(bytes, 'a.safetensors')).toThrow(
      expect.objectContaining({ code: 'IMPORT_NOT_MESHNET', message }),
    )
  }
})

test('a shape of a hundred thousand axes is refused at once', () => {
  const shape = new Array<number>(100_000).fill(1)
  const bytes = encodeSafetensors({ tensors: [tensor('a', 'F32', shape, new Float32Array(1))], metadata: {} })
  expect(() => stateOfSafetensors(bytes, 'a.safetensors')).toThrow(
    expect.objectContaining({ code: 'IMPORT_TENSOR_MALFORMED' }),
  )
})

test('a header that no model has is refused before it is parsed', () => {
  const header = Buffer.alloc(8 + (1 << 22) + 8, ' ')
  header.writeBigUInt64LE(BigInt(header.length - 8))
  header.write('{}', 8)
  const words = 'the header has 4194312 bytes, more than 4194304'
  expect(() => stateOfSafetensors(header, 'a.safetensors')).toThrow(
    expect.objectContaining({ code: 'SAFETENSORS_MALFORMED', message: expect.stringContaining(words) }),
  )
})

test('whatever the bytes, the answer is a model or words', () => {
  const weights = [
    tensor('0.weight', 'F32', [1, 1, 3, 3, 3], new Float32Array(27)),
    tensor('1.weight', 'F32', [2, 1, 1, 1, 1], new Float32Array(2)),
  ]
  const good = encodeSafetensors({ tensors: weights, metadata: {} })
  expect(decodeModelOf(good, 'a').parts).toMatchObject({ channels: 1, classes: 2 })
  const flips = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(flips, (changes) => {
      const damaged = good.slice()
      for (const [at, value] of changes) damaged[at] = value
      try {
        decodeModelOf(damaged, 'a')
      } catch (error) {
        if (!(error instanceof MeshflError)) throw error
      }
    }),
    { numRuns: 2000 },
  )
})
