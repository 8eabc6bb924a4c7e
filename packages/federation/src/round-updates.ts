import type { CoordinatorState } from './coordinator-state.js'
import type { JournalEntry } from './coordinator-store.js'
import type { UpdateSlabs } from './update-slabs.js'

/** The updates of the round in progress, by site: on their way to the journal, or there. */
export class RoundUpdates {
  readonly #slabs: Pick<UpdateSlabs, 'keep'>
  readonly #taken: Map<string, JournalEntry>
  /** Those that came in this turn, by number. */
  readonly #offered = new Map<number, JournalEntry>()
  #offers = 0

  constructor(journal: readonly JournalEntry[], slabs: Pick<UpdateSlabs, 'keep'>) {
    this.#slabs = slabs
    this.#taken = new Map(journal.map((entry) => [entry.site, entry]))
  }

  /** Holds an update until the machine has decided about it. @returns its number */
  offer(entry: JournalEntry): number {
    this.#offers += 1
    this.#offered.set(this.#offers, entry)
    return this.#offers
  }

  /** Keeps what the machine took, by number: one that it refused may have the same bytes, and another signature, round or weight. */
  settle(results: CoordinatorState['results']): void {
    for (const [offer, entry] of this.#offered)
      if (results.get(entry.site)?.offer === offer)
        this.#taken.set(entry.site, { ...entry, model: this.#slabs.keep(entry.model) })
    this.#offered.clear()
  }

  of(site: string): JournalEntry | undefined {
    return this.#taken.get(site)
  }

  forget(site: string): void {
    this.#taken.delete(site)
  }

  clear(): void {
    this.#taken.clear()
  }
}
