const QUIET_MS = 5000
const MAX_LINES = 20
const MAX_WORDS = 1000

/**
 * What is said of refused messages: the same words again only after a while, and never more than some lines in that time,
 * whatever words whoever floods us thinks of.
 */
export class Refusals {
  readonly #said = new Map<string, number>()
  #since = Number.NEGATIVE_INFINITY
  #lines = 0
  #unsaid = 0

  /**
   * What to log now: nothing, the words, or the words and how much was left out before them.
   * @param at the time in milliseconds
   */
  say(words: string, at: number): string[] {
    const lines: string[] = []
    if (at - this.#since >= QUIET_MS) {
      if (this.#unsaid > 0) lines.push(`${this.#unsaid} more refusals were not logged one by one`)
      this.#since = at
      this.#lines = 0
      this.#unsaid = 0
    }
    if (at - (this.#said.get(words) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return lines
    if (this.#lines >= MAX_LINES) {
      this.#unsaid += 1
      return lines
    }
    this.#lines += 1
    if (this.#said.size > MAX_WORDS) this.#said.clear()
    this.#said.set(words, at)
    return [...lines, words]
  }
}
