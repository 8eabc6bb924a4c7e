import { totalmem } from 'node:os'

/** Node with its libraries, and the volumes that are being read, put together or written. */
export const PROCESS_BYTES = 256 * 2 ** 20

/** Bytes of memory that this process may take: the machine's, or what its container or job allows. */
export function memoryBytes(): number {
  const allowed = process.constrainedMemory?.() ?? 0
  return allowed > 0 ? Math.min(totalmem(), allowed) : totalmem()
}

/** Of that, what decoded volumes may take when nobody says otherwise: 64 cases of 256^3, image and label, or an eighth. */
export function cacheMemoryBytes(): number {
  return Math.min(2 ** 31, Math.floor(memoryBytes() / 8))
}
