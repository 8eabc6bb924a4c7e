import { MeshflError, type ModelLayout, type ModelState, modelSha256, type Study, sha256 } from '@meshfl/core'
import type { Admissions } from './admissions.js'
import { sortedBySite } from './aggregate.js'
import type { CoordinatorEffect } from './coordinator-state.js'
import type { Commit, CoordinatorStore, JournalEntry, Saved } from './coordinator-store.js'
import { encodeModelBody, encodeVectorBody } from './frame.js'
import type { Identity } from './identity.js'
import { populationOf } from './kept-updates.js'
import { NO_PREVIOUS, writeLedgerLine } from './ledger.js'
import { STRATEGIES } from './strategies/index.js'
import type { RoundOutput } from './strategies/strategy.js'

export interface CommitsOptions {
  identity: Identity
  admissions: Pick<Admissions, 'sites'>
  store: CoordinatorStore
  runId: string
  study: Study
  layout: ModelLayout
  saved: Saved
  at(point: string): void
  onFailed(error: unknown): void
}

/** The global model and how it changes: each step is one atomic write, and what follows from it is written beside the next work. */
export class Commits {
  readonly #options: CommitsOptions
  #commit: Commit
  #model: ModelState
  #state: Uint8Array | null
  #modelBody!: Uint8Array
  #vector: { body: Uint8Array; vectorSha256: string } | undefined
  /** The files that follow from the last commit. */
  #derived: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(options: CommitsOptions) {
    this.#options = options
    this.#commit = options.saved.commit
    this.#model = options.saved.model
    this.#state = options.saved.state
    this.#encodeBodies()
  }

  get model(): ModelState {
    return this.#model
  }

  /** The model as tasks carry it. */
  get modelBody(): Uint8Array {
    return this.#modelBody
  }

  /** What training tasks carry beside the model, for strategies that have something. */
  get vector(): { body: Uint8Array; vectorSha256: string } | undefined {
    return this.#vector
  }

  /** Averages a round's updates; resolves with the hash of the result when that is on disk, with null when closed before. */
  async commitRound(
    { round, base, sites, leftOut, trained }: Extract<CoordinatorEffect, { type: 'commit' }>,
    entries: readonly JournalEntry[],
  ): Promise<string | null> {
    const { identity, store, runId, at, onFailed } = this.#options
    const { model, state } = this.#combine(round, entries)
    const result = modelSha256(model)
    const line = writeLedgerLine(identity, {
      run: runId,
      round,
      base,
      result,
      sites: entries.map(({ site, key, update, vectorSha256, samples, signature }) => ({
        ...{ site, key, update, samples, signature },
        ...(vectorSha256 === undefined ? {} : { vectorSha256 }),
      })),
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
    if (!(await this.#write({ commit, model, state }, 'round'))) return null
    at('commit written')
    this.#encodeBodies()
    this.#derived = this.#derived.then(() => store.clearJournal(round, sites))
    this.#derived.catch(onFailed)
    return result
  }

  /** Writes down how the sites scored the round's model. */
  async recordRound({ evaluated, best, rise, final }: Extract<CoordinatorEffect, { type: 'record' }>): Promise<void> {
    const commit = { ...this.#commit, evaluated, best, rise, final }
    if (!(await this.#write({ commit, model: this.#model, state: this.#state }, 'best'))) return
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

  #encodeBodies(): void {
    const { study, layout } = this.#options
    this.#modelBody = encodeModelBody(this.#model)
    const vector = STRATEGIES[study.federation.strategy].taskVector?.(this.#state, layout)
    this.#vector = vector && encodeVectorBody(vector)
  }

  #combine(round: number, entries: readonly JournalEntry[]): RoundOutput {
    const { layout, study, admissions } = this.#options
    const { strategy, strategyOptions, batchNorm } = study.federation
    const output = STRATEGIES[strategy].combine({
      layout,
      base: this.#model,
      contributions: sortedBySite(entries),
      batchNorm,
      options: strategyOptions,
      state: this.#state,
      population: populationOf(admissions.sites),
    })
    if (output.model.parameters.every(Number.isFinite) && output.model.statistics.every(Number.isFinite)) return output
    throw new MeshflError('AGGREGATE_NOT_FINITE', `${strategy} made a model of round ${round} that is not finite`, {
      hint: 'lower serverLearningRate; with hostile sites use median, trimmed-mean or krum',
    })
  }

  async #write({ commit, model, state }: Saved, part: 'round' | 'best'): Promise<boolean> {
    const { store, at, onFailed } = this.#options
    await this.#derived
    if (this.#isClosed) return false
    await store.writeCommit({ commit, model, state })
    this.#commit = commit
    this.#model = model
    this.#state = state
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
