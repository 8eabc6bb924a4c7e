import { formatBytes } from '@meshfl/core'

export interface MemoryGuardOptions {
  /** Native memory above that of the start that is too much. */
  limitBytes: number
  /** Closes every connection, and with it what of unfinished messages was kept. */
  relieve(): Promise<void>
  onRelieved(words: string): void
  /** Bytes of native memory in use; undefined where that cannot be told now. */
  measure?(): number | undefined
}

/**
 * libzmq bounds the size of a frame and the number of messages that wait, but not the frames of one message: they are kept, out of
 * our sight, until its last one is there. So whoever may connect could take all memory with a message that does not end. No call
 * tells which connection it is; what can be seen is the memory of the process, and what can be done is to close all of them. Sites
 * come back within a second and nothing that was accepted is lost.
 */
export class MemoryGuard {
  readonly #options: MemoryGuardOptions
  readonly #measure: () => number | undefined
  #floor: number
  #isRelieving = false

  constructor(options: MemoryGuardOptions) {
    this.#options = options
    this.#measure = options.measure ?? nativeBytes
    this.#floor = this.#measure() ?? Number.POSITIVE_INFINITY
  }

  /** Looks at the memory; to be called several times a second. */
  async look(): Promise<void> {
    if (this.#isRelieving) return
    const used = this.#measure()
    if (used === undefined) return // it can be at the next look
    this.#floor = Math.min(this.#floor, used)
    if (used - this.#floor <= this.#options.limitBytes) return
    this.#isRelieving = true
    try {
      await this.#options.relieve()
      const taken = formatBytes(used - this.#floor)
      this.#options.onRelieved(
        `${taken} were taken by messages that do not end: every connection was closed; an admitted site, or who holds an invite, sends them`,
      )
      // What the allocator keeps for the next time is not in use, and cannot be told from what is.
      this.#floor = Math.max(this.#floor, (this.#measure() ?? used) - this.#options.limitBytes / 2)
    } finally {
      this.#isRelieving = false
    }
  }
}

/** Resident memory that is not JavaScript's; undefined while connections hold all files that may be open: it is read from one. */
function nativeBytes(): number | undefined {
  try {
    const { rss, heapTotal, external } = process.memoryUsage()
    return rss - heapTotal - external
  } catch {
    return undefined
  }
}
