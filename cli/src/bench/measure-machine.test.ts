import { memoryBytes } from '@meshfl/core'
import { afterEach, expect, test, vi } from 'vitest'
import { measureMachine, stretchBytes } from './measure-machine.js'

const MiB = 2 ** 20
afterEach(() => void vi.restoreAllMocks())

test('what the threads copy is 128 MiB there and back each, and an eighth of the memory at most in all', () => {
  expect(stretchBytes(2, 2 ** 36)).toBe(128 * MiB)
  expect(stretchBytes(64, 2 ** 40)).toBe(128 * MiB)
  for (const [threads, memory] of [
    [64, 2 ** 32],
    [2, 2 ** 30],
    [3, 1e9],
  ] as const) {
    expect(2 * threads * stretchBytes(threads, memory)).toBeLessThanOrEqual(memory / 8)
    expect(2 * threads * stretchBytes(threads, memory)).toBeGreaterThan(memory / 8 - 4096)
  }
  expect(stretchBytes(1)).toBe(stretchBytes(1, memoryBytes()))
})

test('a machine of little memory is measured with more threads than it has room for at 256 MiB each', async () => {
  vi.spyOn(process, 'constrainedMemory').mockReturnValue(2 ** 30)
  const machine = await measureMachine(5)
  expect(machine.threads).toBe(5)
  expect(machine.copyGigabytes).toBeGreaterThan(0)
})
