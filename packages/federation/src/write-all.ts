import type { FileHandle } from 'node:fs/promises'

/** Writes parts that follow one another, in one write where the system takes them all: each may wait for the disk. */
export async function writeAll(handle: FileHandle, parts: readonly Uint8Array[], position: number): Promise<void> {
  let rest = parts.filter(({ length }) => length > 0)
  for (let at = position; rest.length > 0; ) {
    const { bytesWritten } = await handle.writev(rest, at)
    at += bytesWritten
    rest = withoutFirst(rest, bytesWritten)
  }
}

/** What is left of parts when so many bytes of them are written. */
function withoutFirst(parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes
  const first = parts.findIndex(({ length }) => {
    if (length > left) return true
    left -= length
    return false
  })
  return first < 0 ? [] : [parts[first]!.subarray(left), ...parts.slice(first + 1)]
}
