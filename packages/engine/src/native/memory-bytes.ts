import { totalmem } from 'node:os'

/** Bytes that this process may plan with: the machine's memory, or what its container allows. */
export function memoryBytes(): number {
  const allowed = process.constrainedMemory?.() ?? 0
  return allowed > 0 ? Math.min(totalmem(), allowed) : totalmem()
}
