/** What is kept between two uses. */
const MOST_BYTES = 16 << 20

let free: Buffer | undefined

/**
 * Lends a buffer of so many bytes, with anything in it, until `work` has ended. A batch of updates is megabytes, and a fresh buffer for
 * each costs as much as filling it: the system clears its pages, and V8 collects the sooner for it.
 */
export async function withScratch<T>(bytes: number, work: (buffer: Buffer) => Promise<T>): Promise<T> {
  const buffer = free && free.length >= bytes ? free : Buffer.allocUnsafeSlow(bytes)
  if (buffer === free) free = undefined // another log may write meanwhile
  try {
    return await work(buffer.subarray(0, bytes))
  } finally {
    if (buffer.length <= MOST_BYTES && buffer.length > (free?.length ?? 0)) free = buffer
  }
}
