import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packFrames, sumOverParts, unpackFrames } from './message-parts.js'

const frame = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.constantFrom(0, 253, 254, 255, 256, 1023, 1024, 5000).map((length) => new Uint8Array(length).fill(length)),
)
const frames = fc.array(frame, { minLength: 1, maxLength: 12 })
const plain = (all: readonly Uint8Array[]): number[][] => all.map((bytes) => [...bytes])

test('frames come back as they were packed, in parts of the lengths that are told', () => {
  fc.assert(
    fc.property(frames, (sent) => {
      const parts = packFrames(sent)
      const lengths: number[] = []
      sumOverParts(sent, (length) => lengths.push(length))
      expect(parts.map(({ length }) => length)).toEqual(lengths)
      expect(plain(unpackFrames(parts))).toEqual(plain(sent))
    }),
  )
})

test('the large frames are parts of their own, and not copied', () => {
  const model = new Uint8Array(2000)
  const parts = packFrames([new Uint8Array(300), model, new Uint8Array(64)])
  expect(parts).toHaveLength(2)
  expect(parts[1]).toBe(model)
})

test('whatever parts come in, none are frames that were not sent whole', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (parts) => {
      const found = unpackFrames(parts)
      const bytes = (all: readonly Uint8Array[]): number => all.reduce((sum, { length }) => sum + length, 0)
      expect(bytes(found)).toBeLessThanOrEqual(bytes(parts))
    }),
    { numRuns: 1000 },
  )
  fc.assert(
    fc.property(frames, fc.nat(), fc.nat(), (sent, which, at) => {
      const parts = packFrames(sent)
      const cut = which % parts.length
      if (cut > 0) expect(unpackFrames(parts.filter((_, i) => i !== cut))).toEqual([])
      const shorter = parts.map((part, i) => (i === 0 ? part.subarray(0, at % part.length) : part))
      expect(unpackFrames(shorter)).toEqual([])
      expect(unpackFrames([...parts, new Uint8Array(3)])).toEqual([])
    }),
  )
})
