import type { CoordinatorState } from './coordinator-state.js'
import type { JournalEntry } from './coordinator-store.js'
import type { UpdateSlabs } from './update-slabs.js'

/** The updates of the round in progress, by site: on their way to the journal, or there. */
export class RoundUpdates {
  readonly #slabs: Pick<UpdateSlabs, 'keep'>
  readonly #taken: Map<string, JournalEntry>
  /** Those that came in this turn. */
  readonly #offered: JournalEntry[] = []

  constructor(journal: readonly JournalEntry[], slabs: Pick<UpdateSlabs, 'keep'>) {
    this.#slabs = slabs
    this.#taken = new Map(journal.map((entry) => [entry.site, entry]))
  }

  /** Holds an update until the machine has decided about it. */
  offer(entry: JournalEntry): void {
    this.#offered.push(entry)
  }

  /** Keeps what the machine took: an update that it refused must not take the place of one that it took. */
  settle(results: CoordinatorState['results']): void {
    for (const entry of this.#offered.splice(0)) {
      const { site, update } = entry
      if (results.get(site)?.update === update && !this.#taken.has(site))
        this.#taken.set(site, { ...entry, model: this.#slabs.keep(entry.model) })
    }
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
