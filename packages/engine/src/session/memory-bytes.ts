import { cacheMemoryBytes, memoryBytes, PROCESS_BYTES } from '@meshfl/core'

/** Bytes that a session may plan with: the process needs some beside it, and is killed without a word when there are none left. */
export function sessionMemoryBytes(): number {
  const all = memoryBytes()
  return Math.floor(Math.max(all / 2, all - cacheMemoryBytes() - PROCESS_BYTES))
}
