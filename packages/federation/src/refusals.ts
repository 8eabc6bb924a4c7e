const QUIET_MS = 5000
const MAX_LINES = 20

export interface RefusalsOptions {
  /** What they are called where they are counted. Default: refusals. */
  what?: string
  /**
   * How long it may come to be that no more than some lines are said in: twice as long after each such time that was too short for
   * all, and as at first after one that was not. Default: always as at first.
   */
  longestMs?: number
}

/**
 * What is said of refused messages: the same words again only after a while, and never more than some lines in that time,
 * whatever words whoever floods us thinks of.
 */
export class Refusals {
  readonly #what: string
  readonly #longestMs: number
  readonly #said = new Map<string, number>()
  #since = Number.NEGATIVE_INFINITY
  #windowMs = QUIET_MS
  #lines = 0
  #unsaid = 0

  constructor({ what = 'refusals', longestMs = QUIET_MS }: RefusalsOptions = {}) {
    this.#what = what
    this.#longestMs = longestMs
  }

  /**
   * What to log now: nothing, the words, or the words and how much was left out before them.
   * @param at the time in milliseconds
   */
  say(words: string, at: number): string[] {
    const lines: string[] = []
    if (at - this.#since >= this.#windowMs) {
      if (this.#unsaid > 0) lines.push(`${this.#unsaid} more ${this.#what} were not logged one by one`)
      this.#windowMs = this.#unsaid > 0 ? Math.min(2 * this.#windowMs, this.#longestMs) : QUIET_MS
      this.#since = at
      this.#lines = 0
      this.#unsaid = 0
      for (const [before, saidAt] of this.#said) if (at - saidAt >= QUIET_MS) this.#said.delete(before)
    }
    if (at - (this.#said.get(words) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return lines
    if (this.#lines >= MAX_LINES) {
      this.#unsaid += 1
      return lines
    }
    this.#lines += 1
    this.#said.set(words, at)
    return [...lines, words]
  }
}
