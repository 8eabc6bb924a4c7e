import { expect, test } from 'vitest'
import { withScratch } from './scratch.js'

test('two who write at the same time never have the same buffer, and one after the other they have', async () => {
  let first: ArrayBufferLike | undefined
  await withScratch(100, async (a) => {
    first = a.buffer
    await withScratch(50, async (b) => {
      expect(b.length).toBe(50)
      expect(b.buffer).not.toBe(a.buffer)
    })
  })
  await withScratch(80, async (a) => {
    expect(a.length).toBe(80)
    expect(a.buffer).toBe(first)
  })
  await expect(withScratch(80, () => Promise.reject(new Error('full')))).rejects.toThrow('full')
  await withScratch(80, async (a) => expect(a.buffer).toBe(first))
})
