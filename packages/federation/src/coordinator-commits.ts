import { type ModelLayout, type ModelState, modelSha256, type Study, sha256 } from '@meshfl/core'
import { aggregate } from './aggregate.js'
import type { CoordinatorEffect } from './coordinator-state.js'
import type { Commit, CoordinatorStore, JournalEntry, SavedCommit } from './coordinator-store.js'
import type { DerivedFiles } from './derived-files.js'
import { encodeModelBody } from './frame.js'
import type { Identity } from './identity.js'
import { NO_PREVIOUS, writeLedgerLine } from './ledger.js'
import type { PatientWrites } from './patient-writes.js'

/** Rounds whose files are not written yet, after which a round waits for them. */
const MOST_DUE = 64

export interface CommitsOptions {
  identity: Identity
  store: CoordinatorStore
  derived: DerivedFiles
  patience: PatientWrites
  runId: string
  study: Study
  layout: ModelLayout
  saved: SavedCommit
  at(point: string): void
  onFailed(error: unknown): void
}

/**
 * The global model and how it changes. A step is done when its record is in the log; the files that follow from it are written
 * beside the next work.
 */
export class Commits {
  readonly #options: CommitsOptions
  #commit: Commit
  #model: ModelState
  #modelBody: Uint8Array
  /** Commits whose files are to be written; `scored` ones have their round's file already. */
  #due: (SavedCommit & { isScored: boolean })[] = []
  #deriving: Promise<void> | undefined
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
    { round, base, leftOut, trained }: Extract<CoordinatorEffect, { type: 'commit' }>,
    entries: readonly JournalEntry[],
  ): Promise<string | null> {
    const { identity, layout, study, store, runId, at } = this.#options
    while (this.#due.length >= MOST_DUE) await this.#deriving
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
    if (this.#isClosed) return null
    await store.writeCommit(commit, model)
    at('commit written')
    this.#commit = commit
    this.#model = model
    this.#modelBody = encodeModelBody(model)
    this.#derive({ commit, model, isScored: false })
    return result
  }

  /**
   * Writes down how the sites scored the round's model. The next round need not wait for the disk: its commit comes after this
   * in the log, and scores that a crash took are computed again. The end of a run does.
   */
  async recordRound({ evaluated, best, final }: Extract<CoordinatorEffect, { type: 'record' }>): Promise<void> {
    if (this.#isClosed) return
    const commit = { ...this.#commit, evaluated, best, final }
    const { store, at, onFailed } = this.#options
    const written = store.writeScores(commit).then(() => at('record written'))
    this.#commit = commit
    this.#derive({ commit, model: this.#model, isScored: true })
    if (!final) {
      written.catch(onFailed)
      return
    }
    await written
    await this.#deriving
    await this.#checkpoint(commit.round)
  }

  /** Begins no other step. */
  close(): void {
    this.#isClosed = true
  }

  /** When nothing is written any more. */
  async settled(): Promise<void> {
    await this.#deriving?.catch(() => undefined)
    await this.#options.store.close()
  }

  #derive(due: SavedCommit & { isScored: boolean }): void {
    this.#due.push(due)
    if (this.#deriving) return
    this.#deriving = this.#writeDue().finally(() => {
      this.#deriving = undefined
    })
    this.#deriving.catch(this.#options.onFailed)
  }

  async #writeDue(): Promise<void> {
    const { derived, patience, store, at } = this.#options
    while (this.#due.length > 0 && !this.#isClosed) {
      const due = [...this.#due]
      at('before derive')
      const rounds = due.filter(({ isScored }) => !isScored)
      await patience.run(derived.folder, async () => {
        if (rounds.length > 0) await derived.writeLedger(rounds.map(({ commit }) => commit))
        for (const { commit, model } of rounds)
          await derived.writeRound(commit, model, commit === rounds.at(-1)!.commit)
        for (const { commit, model, isScored } of due) if (isScored) await derived.writeBest(commit, model)
      })
      at('derived')
      this.#due.splice(0, due.length)
      if (store.isLong) await this.#checkpoint(due.at(-1)!.commit.round)
    }
  }

  /** Brings the files of all rounds to the disk; the log need not hold those before this round any more. */
  async #checkpoint(round: number): Promise<void> {
    const { derived, patience, store } = this.#options
    await patience.run(derived.folder, () => derived.sync())
    await store.forgetBefore(round)
  }
}
