import type { Told } from './coordinator-state.js'
import { Refusals } from './refusals.js'
import { SiteStates } from './site-states.js'

const LONGEST_MS = 600_000

/** What is said of one site: who floods us hides nothing of the others, and of its own mistakes not the first ones. */
class SiteLines {
  readonly refusals: Refusals
  readonly failures: Refusals
  readonly stacks: Refusals
  readonly twins: Refusals
  readonly changes: Refusals

  /** @param longest how long it may come to be that no more is said in; strangers share theirs, so that it stays short */
  constructor(longest: { longestMs?: number } = {}) {
    this.refusals = new Refusals(longest)
    this.failures = new Refusals({ ...longest, what: 'failures' })
    this.stacks = new Refusals({ ...longest, what: 'failures' })
    this.twins = new Refusals(longest)
    this.changes = new Refusals({ ...longest, what: 'changes of engine' })
  }
}

interface OperatorNoticesOptions {
  tell(event: Told): void
  /** Whether a site is one that was approved: what an unknown one is called, it says itself. */
  isKnown(site: string): boolean
}

/** What the operator is told of others' mistakes: never more lines than a person reads, whoever makes them. */
export class OperatorNotices {
  readonly #options: OperatorNoticesOptions
  readonly #unknown = new SiteLines()
  readonly #sites = new Map<string, SiteLines>()
  readonly #states: SiteStates

  constructor(options: OperatorNoticesOptions) {
    this.#options = options
    this.#states = new SiteStates(options.tell)
  }

  /** What the state machine tells: what is of a site, and so as often as that wants, like the rest of this. */
  tell(event: Told): void {
    if (event.type === 'site-state') this.#states.take(event, performance.now())
    else if (event.type !== 'log' || event.site === undefined) this.#options.tell(event)
    else if (event.level === 'error') this.#log('failures', 'error', event.message, event.site)
    else this.#log('refusals', event.level, event.message, event.site)
  }

  /** Tells what was held back and need not be any more. */
  settle(): void {
    this.#states.settle(performance.now())
  }

  /** Tells what was held back: the run has ended. */
  end(): void {
    this.#states.end()
  }

  /** Something was refused; `site` where it is known whose it was. */
  refused(words: string, site?: string): void {
    this.#log('refusals', 'warn', words, site)
  }

  /** Where in its program a site failed. */
  stack(words: string, site: string): void {
    this.#log('stacks', 'error', words, site)
  }

  /** A site's keys are used by two processes at the same time. */
  twins(site: string): void {
    const words = `the keys of ${site} are used by two processes at the same time: stop one of them, or if it is not yours: meshfl sites rotate <run> ${site}`
    this.#log('twins', 'warn', words, site)
  }

  /** A site computes with something else than before: the result of the run depends on it. */
  engineChanged(site: string, { had, has }: { had: string; has: string }): void {
    const words = `${site} goes on with ${has}, so far it was ${had}: the bits of this run cannot be computed again`
    this.#log('changes', 'warn', words, site)
  }

  #log(kind: keyof SiteLines, level: Extract<Told, { type: 'log' }>['level'], words: string, site?: string): void {
    for (const message of this.#linesOf(site)[kind].say(words, performance.now()))
      this.#options.tell({ type: 'log', level, message, ...(site === undefined ? {} : { site }) })
  }

  #linesOf(site: string | undefined): SiteLines {
    if (site === undefined || !this.#options.isKnown(site)) return this.#unknown
    const lines = this.#sites.get(site) ?? new SiteLines({ longestMs: LONGEST_MS })
    this.#sites.set(site, lines)
    return lines
  }
}
