import { expect } from 'vitest'

/**
 * Arrays of numbers with the same bytes are equal. Vitest compares them number by number, which takes a second for those of a small
 * volume; where they differ it still does, and shows where.
 */
expect.addEqualityTesters([
  (a, b) => {
    if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b) || a.constructor !== b.constructor) return undefined
    return Buffer.compare(bytesOf(a), bytesOf(b)) === 0 ? true : undefined
  },
])

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
