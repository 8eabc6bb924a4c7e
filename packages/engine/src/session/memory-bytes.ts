import { cacheMemoryBytes, memoryBytes } from '@meshfl/core'

/** Node with its libraries, and the volumes that are being read, put together or written. */
const PROCESS_BYTES = 256 * 2 ** 20

/** Bytes that a session may plan with: the process needs some beside it, and is killed without a word when there are none left. */
export function sessionMemoryBytes(): number {
  const all = memoryBytes()
  return Math.floor(Math.max(all / 2, all - cacheMemoryBytes() - PROCESS_BYTES))
}
