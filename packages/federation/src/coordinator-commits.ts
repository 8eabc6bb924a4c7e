import {
  type CrossScore,
  MeshflError,
  type ModelLayout,
  type ModelState,
  modelSha256,
  type StepOptimizer,
  type Study,
  sha256,
} from '@meshfl/core'
import type { Admissions } from './admissions.js'
import { sortedBySite } from './aggregate.js'
import type { CoordinatorEffect } from './coordinator-state.js'
import type { Commit, CoordinatorStore, JournalEntry, SavedCommit } from './coordinator-store.js'
import type { DerivedFiles } from './derived-files.js'
import { encodeModelBody, encodeVectorBody } from './frame.js'
import type { Identity } from './identity.js'
import { populationOf } from './kept-updates.js'
import { NO_PREVIOUS, writeLedgerLine } from './ledger.js'
import type { PatientWrites } from './patient-writes.js'
import { takeStep } from './step-update.js'
import { STRATEGIES } from './strategies/index.js'
import type { RoundOutput } from './strategies/strategy.js'
import { findUnusable } from './vector-tensor.js'

/** Rounds whose files are not written yet, after which a round waits for them. */
const MOST_DUE = 64
const DERIVE_AFTER_MS = 50

type Due = Pick<SavedCommit, 'commit' | 'model'> & { isScored: boolean }

export interface CommitsOptions {
  identity: Identity
  admissions: Pick<Admissions, 'sites'>
  store: CoordinatorStore
  derived: DerivedFiles
  patience: PatientWrites
  runId: string
  study: Study
  layout: ModelLayout
  stepOptimizer?: StepOptimizer
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
  #state: Uint8Array | null
  #updates: ReadonlyMap<string, ModelState>
  #modelBody!: Uint8Array
  #vector: { body: Uint8Array; vectorSha256: string } | undefined
  /** Commits whose files are to be written; `scored` ones have their round's file already. */
  #due: Due[] = []
  #deriving: Promise<void> | undefined
  #hurry: () => void = () => undefined
  #isClosed = false

  constructor(options: CommitsOptions) {
    this.#options = options
    this.#commit = options.saved.commit
    this.#model = options.saved.model
    this.#state = options.saved.state
    this.#updates = options.saved.updates
    this.#encodeBodies()
  }

  get model(): ModelState {
    return this.#model
  }

  /** The model as tasks carry it. */
  get modelBody(): Uint8Array {
    return this.#modelBody
  }

  /** A model that sites score: the global one, or a site's last one. */
  bodyOf(base: string): Uint8Array {
    const update = [...this.#updates.values()].find((model) => modelSha256(model) === base)
    return update ? encodeModelBody(update) : this.#modelBody
  }

  /** Writes down the comparison at the end of a run. */
  async recordComparison(scores: readonly CrossScore[]): Promise<void> {
    if (this.#isClosed) return
    this.#commit = { ...this.#commit, compared: [...scores] }
    await this.#options.store.writeScores(this.#commit)
  }

  /** What training tasks carry beside the model, for strategies that have something. */
  get vector(): { body: Uint8Array; vectorSha256: string } | undefined {
    return this.#vector
  }

  /** Combines a round's updates; resolves with the hash of the result when that is on disk, with null when closed before. */
  async commitRound(
    { round, steps, base, leftOut, trained }: Extract<CoordinatorEffect, { type: 'commit' }>,
    entries: readonly JournalEntry[],
  ): Promise<string | null> {
    const { identity, store, runId, at } = this.#options
    while (this.#due.length >= MOST_DUE) await this.#derived()
    const { model, state } = this.#combine(round, steps, entries)
    const result = modelSha256(model)
    const line = writeLedgerLine(identity, {
      run: runId,
      round,
      base,
      result,
      ...(this.#options.study.federation.sync === 'step' ? { steps } : {}),
      sites: entries.map(({ site, key, update, vectorSha256, voxels, samples, signature }) => ({
        ...{ site, key, update, samples, signature },
        ...(vectorSha256 === undefined ? {} : { vectorSha256 }),
        ...(voxels === undefined ? {} : { voxels }),
      })),
      leftOut,
      previous: this.#commit.ledgerLine === null ? NO_PREVIOUS : sha256(this.#commit.ledgerLine),
    })
    const commit: Commit = {
      ...this.#commit,
      round,
      steps,
      ledgerLine: line,
      ledgerBytes: this.#commit.ledgerBytes + Buffer.byteLength(line) + 1,
      trained,
      evaluated: null,
    }
    if (this.#isClosed) return null
    const updates = this.#options.study.federation.crossSite
      ? new Map([...this.#updates, ...entries.map((entry) => [entry.site, entry.model] as const)])
      : this.#updates
    await store.writeCommit({ commit, model, state, updates })
    at('commit written')
    this.#commit = commit
    this.#model = model
    this.#state = state
    this.#updates = updates
    this.#encodeBodies()
    this.#derive({ commit, model, isScored: false })
    return result
  }

  /**
   * Writes down how the sites scored the round's model. The next round need not wait for the disk: its commit comes after this
   * in the log, and scores that a crash took are computed again. The end of a run does.
   */
  async recordRound({ evaluated, best, rise, final }: Extract<CoordinatorEffect, { type: 'record' }>): Promise<void> {
    if (this.#isClosed) return
    const commit = { ...this.#commit, evaluated, best, rise, final }
    const { store, at, onFailed } = this.#options
    const written = store.writeScores(commit).then(() => at('record written'))
    this.#commit = commit
    this.#derive({ commit, model: this.#model, isScored: true })
    if (!final) {
      written.catch(onFailed)
      return
    }
    await written
    await this.#derived()
    await this.#checkpoint(commit.round)
  }

  /** Begins no other step. */
  close(): void {
    this.#isClosed = true
  }

  /** When nothing is written any more. */
  async settled(): Promise<void> {
    await this.#derived()?.catch(() => undefined)
    await this.#options.store.close()
  }

  #encodeBodies(): void {
    const { study, layout } = this.#options
    this.#modelBody = encodeModelBody(this.#model)
    const vector = STRATEGIES[study.federation.strategy].taskVector?.(this.#state, layout)
    this.#vector = vector && encodeVectorBody(vector)
  }

  #combine(round: number, steps: number, entries: readonly JournalEntry[]): RoundOutput {
    const { sync, strategy } = this.#options.study.federation
    const output = sync === 'step' ? this.#step(round, steps, entries) : this.#combineRound(entries)
    const { parameters, statistics } = output.model
    if (findUnusable(parameters) < 0 && findUnusable(statistics) < 0) return output
    const what = sync === 'step' ? `step ${round} made a model` : `${strategy} made a model of round ${round}`
    throw new MeshflError('AGGREGATE_NOT_FINITE', `${what} that is not finite`, {
      hint:
        sync === 'step'
          ? 'lower maxLearningRate'
          : 'lower serverLearningRate; with hostile sites use median, trimmed-mean or krum',
    })
  }

  #step(round: number, steps: number, entries: readonly JournalEntry[]): RoundOutput {
    const { layout, study, stepOptimizer } = this.#options
    return takeStep({
      ...{ layout, optimizer: stepOptimizer!, begun: { model: this.#model, state: this.#state } },
      contributions: entries.map((entry) => ({ ...entry, voxels: entry.metrics.voxels! })),
      ...{ position: round - 1, total: study.rounds * steps },
    })
  }

  #combineRound(entries: readonly JournalEntry[]): RoundOutput {
    const { layout, study, admissions } = this.#options
    const { strategy, strategyOptions, batchNorm } = study.federation
    return STRATEGIES[strategy].combine({
      layout,
      base: this.#model,
      contributions: sortedBySite(entries),
      batchNorm,
      options: strategyOptions,
      state: this.#state,
      population: populationOf(admissions.sites),
    })
  }

  /** When what follows from the commits so far is written: at once, not a moment later. */
  #derived(): Promise<void> | undefined {
    this.#hurry()
    return this.#deriving
  }

  #derive(due: Due): void {
    this.#due.push(due)
    if (this.#deriving) return
    // Rounds of a few milliseconds have their files written together.
    const wait = new Promise<void>((resolve) => {
      this.#hurry = resolve
      setTimeout(resolve, DERIVE_AFTER_MS)
    })
    this.#deriving = wait
      .then(() => this.#writeDue())
      .finally(() => {
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
        await derived.writeRounds(rounds)
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
