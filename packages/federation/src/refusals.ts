const QUIET_MS = 5000
const MAX_WORDS = 1000

/** What was refused a moment ago: the same words are said again only after a while, whoever floods us. */
export class Refusals {
  readonly #said = new Map<string, number>()

  /** @param at the time in milliseconds */
  isNew(words: string, at: number): boolean {
    if (at - (this.#said.get(words) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return false
    if (this.#said.size > MAX_WORDS) this.#said.clear()
    this.#said.set(words, at)
    return true
  }
}
