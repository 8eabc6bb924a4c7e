import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MeshflError } from './errors.js'
import { decodeSafetensors, encodeSafetensors } from './safetensors.js'

const tensor = fc.record({
  name: fc
    .string({ minLength: 1 })
    .filter((name) => name !== '__metadata__' && name !== '__proto__' && !/^\d+$/.test(name)),
  values: fc.array(fc.float()),
})

test('what is written is read back', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(tensor, { selector: (t) => t.name }),
      fc.dictionary(fc.string(), fc.string()),
      (items, metadata) => {
        const tensors = items.map(({ name, values }) => ({
          name,
          dtype: 'F32' as const,
          shape: [values.length],
          data: new Uint8Array(new Float32Array(values).buffer),
        }))
        const read = decodeSafetensors(encodeSafetensors({ tensors, metadata }))
        expect(read.tensors.map(({ name, data }) => [name, [...data]])).toEqual(
          tensors.map(({ name, data }) => [name, [...data]]),
        )
        expect({ ...read.metadata }).toEqual({ ...metadata })
      },
    ),
  )
})

test('bytes that are no safetensors file are refused with words, never a crash', () => {
  const good = encodeSafetensors({
    tensors: [{ name: 'a', dtype: 'F32', shape: [2], data: new Uint8Array(8) }],
    metadata: { k: 'v' },
  })
  for (let length = 0; length < good.length; length++) {
    expect(() => decodeSafetensors(good.subarray(0, length))).toThrow(MeshflError)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(good.length - 1), (noise, at) => {
      const damaged = good.slice()
      damaged.set(noise.subarray(0, damaged.length - at), at)
      try {
        decodeSafetensors(damaged)
      } catch (error) {
        expect(error).toBeInstanceOf(MeshflError)
      }
    }),
  )
})

test('a name in the header is cut before it is shown', () => {
  const header = Buffer.from(JSON.stringify({ ['a'.repeat(1_000_000)]: { dtype: 'F32', shape: 'none' } }))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const words = `tensor ${'a'.repeat(200)} has no valid shape`
  expect(() => decodeSafetensors(Buffer.concat([length, header]))).toThrow(
    expect.objectContaining({ code: 'SAFETENSORS_MALFORMED', message: expect.stringContaining(words) }),
  )
})
