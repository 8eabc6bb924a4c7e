import { type ModelLayout, type ModelState, modelSha256, type Study, sha256 } from '@meshfl/core'
import { aggregate } from './aggregate.js'
import type { CoordinatorEffect } from './coordinator-state.js'
import type { Commit, CoordinatorStore, JournalEntry } from './coordinator-store.js'
import { encodeModelBody } from './frame.js'
import type { Identity } from './identity.js'
import { NO_PREVIOUS, writeLedgerLine } from './ledger.js'

export interface CommitsOptions {
  identity: Identity
  store: CoordinatorStore
  runId: string
  study: Study
  layout: ModelLayout
  saved: { commit: Commit; model: ModelState }
  at(point: string): void
  onFailed(error: unknown): void
}

/** The global model and how it changes: each step is one atomic write, and what follows from it is written beside the next work. */
export class Commits {
  readonly #options: CommitsOptions
  #commit: Commit
  #model: ModelState
  #modelBody: Uint8Array
  /** The files that follow from the last commit. */
  #derived: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(options: CommitsOptions) {
    this.#options = options
    this.#commit = options.saved.commit
    this.#model = options.saved.model
    this.#modelBody = encodeModelBody(options.saved.model)
  }

  get model(): ModelState {
    return this.#model
  }

  /** The model as tasks carry it. */
  get modelBody(): Uint8Array {
    return this.#modelBody
  }

  /** Averages a round's updates; resolves with the hash of the result when that is on disk, with null when closed before. */
  async commitRound(
    { round, base, sites, leftOut, trained }: Extract<CoordinatorEffect, { type: 'commit' }>,
    entries: readonly JournalEntry[],
  ): Promise<string | null> {
    const { identity, layout, study, store, runId, at, onFailed } = this.#options
    const model = aggregate(layout, entries, study.federation.batchNorm)
    const result = modelSha256(model)
    const line = writeLedgerLine(identity, {
      run: runId,
      round,
      base,
      result,
      sites: entries.map(({ site, key, update, samples, signature }) => ({ site, key, update, samples, signature })),
      leftOut,
      previous: this.#commit.ledgerLine === null ? NO_PREVIOUS : sha256(this.#commit.ledgerLine),
    })
    const commit: Commit = {
      ...this.#commit,
      round,
      ledgerLine: line,
      ledgerBytes: this.#commit.ledgerBytes + Buffer.byteLength(line) + 1,
      trained,
      evaluated: null,
    }
    if (!(await this.#write(commit, model, 'round'))) return null
    at('commit written')
    this.#modelBody = encodeModelBody(model)
    this.#derived = this.#derived.then(() => store.clearJournal(round, sites))
    this.#derived.catch(onFailed)
    return result
  }

  /** Writes down how the sites scored the round's model. */
  async recordRound({ evaluated, best, final }: Extract<CoordinatorEffect, { type: 'record' }>): Promise<void> {
    if (!(await this.#write({ ...this.#commit, evaluated, best, final }, this.#model, 'best'))) return
    this.#options.at('record written')
  }

  /** Begins no other step. */
  close(): void {
    this.#isClosed = true
  }

  /** When the files of the last step are on disk too. */
  async settled(): Promise<void> {
    await this.#derived.catch(() => undefined)
  }

  async #write(commit: Commit, model: ModelState, part: 'round' | 'best'): Promise<boolean> {
    const { store, at, onFailed } = this.#options
    await this.#derived
    if (this.#isClosed) return false
    await store.writeCommit(commit, model)
    this.#commit = commit
    this.#model = model
    this.#derived = (async () => {
      at('before derive')
      await store.derive(commit, model, part)
      at('derived')
    })()
    this.#derived.catch(onFailed)
    if (commit.final) await this.#derived
    return true
  }
}
