import type { Told } from './coordinator-state.js'
import { Refusals } from './refusals.js'

/** What the operator is told of others' mistakes: never more lines than a person reads, whoever makes them. */
export class OperatorNotices {
  readonly #tell: (event: Told) => void
  readonly #refusals = new Refusals()
  readonly #stacks = new Refusals()
  readonly #twins = new Refusals()

  constructor(tell: (event: Told) => void) {
    this.#tell = tell
  }

  /** Something was refused; `site` where it is known whose it was. */
  refused(words: string, site?: string): void {
    this.#log(this.#refusals, 'warn', words, site)
  }

  /** Where in its program a site failed. */
  stack(words: string, site: string): void {
    this.#log(this.#stacks, 'error', words, site)
  }

  /** A site's keys are used by two processes at the same time. */
  twins(site: string): void {
    const words = `the keys of ${site} are used by two processes at the same time: stop one of them, or if it is not yours: meshfl sites rotate <run> ${site}`
    this.#log(this.#twins, 'warn', words, site)
  }

  /** A site computes with something else than before: said each time, for the result of the run depends on it. */
  engineChanged(site: string, { had, has }: { had: string; has: string }): void {
    const message = `${site} goes on with ${has}, so far it was ${had}: the bits of this run cannot be computed again`
    this.#tell({ type: 'log', level: 'warn', message, site })
  }

  #log(said: Refusals, level: 'warn' | 'error', words: string, site: string | undefined): void {
    for (const message of said.say(words, performance.now()))
      this.#tell({ type: 'log', level, message, ...(site === undefined ? {} : { site }) })
  }
}
