import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  CrossScoreSchema,
  decodeModel,
  decodeSafetensors,
  encodeModel,
  MeshflError,
  type ModelLayout,
  type ModelState,
  modelSha256,
  type NamedTensor,
  RiseSchema,
  removeTemporaryFiles,
  safetensorsParts,
  sha256,
  writeFileAtomic,
} from '@meshfl/core'
import { z } from 'zod'
import { DurableLog } from './durable-log.js'
import { verifyUpdate } from './ledger.js'
import type { LogRecord, NewRecord } from './log-segment.js'
import { TrainMetricsSchema } from './messages.js'
import type { PatientWrites } from './patient-writes.js'
import { modelTensor, readModelTensor, readUpdates, updateTensors } from './update-tensors.js'
import { floatsOf, VECTOR, vectorTensor } from './vector-tensor.js'

const SERVER_STATE = 'server.state'

const SummarySchema = z.strictObject({
  cases: z.int(),
  loss: z.number().nullable(),
  dice: z.strictObject({
    perClass: z.record(z.string(), z.number().nullable()),
    foregroundDice: z.number().nullable(),
  }),
})

/** All that a coordinator needs to go on, beside the model: one JSON text in the metadata of the commit's record. */
export const CommitSchema = z.strictObject({
  format: z.literal('meshfl-commit/1'),
  run: z.string(),
  /** With `sync: step` it counts steps. */
  round: z.int().min(0),
  /** Exchanges in a round: 1, or with `sync: step` its steps; null before the first. */
  steps: z.int().min(1).nullable(),
  /** The round's line of the ledger and the ledger's bytes with it; null before the first round. */
  ledgerLine: z.string().nullable(),
  ledgerBytes: z.int().min(0),
  trained: SummarySchema.nullable(),
  /** Scores of this round's model; null until all are in. */
  evaluated: SummarySchema.nullable(),
  best: z.strictObject({ round: z.int().min(1), foregroundDice: z.number() }).nullable(),
  /** The last rise of the validation Dice. */
  rise: RiseSchema.nullable(),
  /** The cross-site comparison; null before it. */
  compared: z.array(CrossScoreSchema).nullable(),
  /** Whether the run ends with this round. */
  final: z.boolean(),
})
export type Commit = z.infer<typeof CommitSchema>

const JournalEntrySchema = z.strictObject({
  run: z.string(),
  round: z.int().min(1),
  site: z.string(),
  base: z.string(),
  key: z.string(),
  update: z.string(),
  vectorSha256: z.string().optional(),
  samples: z.int().min(1),
  /** Where the signature covers it: with `sync: step`. */
  voxels: z.int().min(1).optional(),
  signature: z.string(),
  metrics: TrainMetricsSchema,
})
/** A site's accepted update of the round in progress. */
export type JournalEntry = z.infer<typeof JournalEntrySchema> & { model: ModelState; vector?: Float32Array }

/** Kinds of records in the log. */
const UPDATE = 1
export const COMMIT = 2
export const SCORES = 3

/** The log begins anew when it is larger than this, and than twice what it would begin with. */
const CHECKPOINT_BYTES = 4 << 20

export interface SavedCommit {
  commit: Commit
  model: ModelState
  /** The server's optimiser: of the strategy, or of the steps. */
  state: Uint8Array | null
  /** The sites' last models, where they are compared at the end. */
  updates: ReadonlyMap<string, ModelState>
}

/** What a run's folder holds: the commits whose files may not be on the disk yet, the last one last, and what came after it. */
export interface SavedRun {
  commits: SavedCommit[]
  journal: JournalEntry[]
}

/** A record of the log, kept so that a log that begins anew can begin with it. */
interface Kept {
  round: number
  kind: typeof UPDATE | typeof COMMIT | typeof SCORES
  encode(): NewRecord
}

/**
 * The memory of a run: one log, state/log, of accepted updates, commits and scores, in the order in which they came to be. The
 * last commit decides; whatever else is in the folder follows from the commits and is made again when a crash came between.
 */
export class CoordinatorStore {
  readonly #folder: string
  readonly #layout: ModelLayout
  readonly #log: DurableLog
  /** The records of the log, the commit that it begins with first. */
  #kept: Kept[] = []
  /** Bytes of the log when it last began. */
  #begunWith = 0

  private constructor(folder: string, layout: ModelLayout, log: DurableLog) {
    this.#folder = folder
    this.#layout = layout
    this.#log = log
  }

  /**
   * Reads a run's folder and sweeps what a crash left half-written. Nothing can be added before `begin`.
   * @throws MeshflError `COMMIT_INVALID`
   */
  static async open(
    folder: string,
    layout: ModelLayout,
    patience: PatientWrites,
  ): Promise<{ store: CoordinatorStore; saved: SavedRun | null }> {
    for (const name of ['.', 'keys', 'rounds', 'state']) await removeTemporaryFiles(join(folder, name))
    const path = join(folder, 'state', 'log')
    const { log, records } = await DurableLog.open(path, { patience, growthBytes: 1 << 20 })
    const store = new CoordinatorStore(folder, layout, log)
    try {
      return { store, saved: store.#replay(records) }
    } catch (error) {
      await log.close()
      throw new MeshflError('COMMIT_INVALID', `${path} is no log of this run: ${(error as Error).message}`, {
        hint: 'restore the run’s folder from a backup, or start again in an empty one',
        data: { path },
        cause: error,
      })
    }
  }

  /** Begins the log with where the run stands; what it held before is gone. */
  async begin(saved: SavedCommit, journal: readonly JournalEntry[]): Promise<void> {
    this.#kept = [this.#keepCommit(saved), ...journal.map((entry) => this.#keepUpdate(entry))]
    await this.#restart()
  }

  /** Keeps an accepted update; when it resolves, it is on disk. */
  writeJournal(entry: JournalEntry): Promise<void> {
    return this.#append(this.#keepUpdate(entry))
  }

  /** Keeps a round's model and ledger line; when it resolves, they are on disk, and so is all that was kept before. */
  writeCommit(saved: SavedCommit): Promise<void> {
    this.#kept = this.#kept.filter(({ kind }) => kind !== UPDATE) // a commit takes their place
    return this.#append(this.#keepCommit(saved))
  }

  /** Keeps how the sites scored the last commit's model. */
  writeScores(commit: Commit): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(commit))
    return this.#append({ round: commit.round, kind: SCORES, encode: () => ({ kind: SCORES, parts: [bytes] }) })
  }

  /** Whether the log has grown so long that it should begin anew. */
  get isLong(): boolean {
    return this.#log.bytes > Math.max(CHECKPOINT_BYTES, 2 * this.#begunWith)
  }

  /** Forgets what came before the commit of this round: all that follows from it is on disk. */
  async forgetBefore(round: number): Promise<void> {
    const first = this.#kept.findIndex((kept) => kept.kind === COMMIT && kept.round === round)
    if (first < 0) return
    this.#kept = this.#kept.slice(first)
    await this.#restart()
  }

  /** Takes nothing more; resolves when what was taken is on disk, or cannot be. */
  close(): Promise<void> {
    return this.#log.close()
  }

  async #restart(): Promise<void> {
    await this.#log.restart(this.#kept.map(({ encode }) => encode()))
    this.#begunWith = this.#log.bytes
  }

  #append(kept: Kept): Promise<void> {
    this.#kept.push(kept)
    return this.#log.append(kept.encode())
  }

  #keepCommit({ commit, model, state, updates }: SavedCommit): Kept {
    const server: NamedTensor[] = state ? [{ name: SERVER_STATE, dtype: 'U8', shape: [state.length], data: state }] : []
    const encode = (): NewRecord => ({
      kind: COMMIT,
      parts: [
        encodeModel(this.#layout, model, { commit: JSON.stringify(commit) }, [...server, ...updateTensors(updates)]),
      ],
    })
    return { round: commit.round, kind: COMMIT, encode }
  }

  #keepUpdate(entry: JournalEntry): Kept {
    const { model, vector, ...result } = entry
    const extra = vector ? [vectorTensor(vector)] : []
    const encode = (): NewRecord => ({
      kind: UPDATE,
      parts: safetensorsParts({
        tensors: [modelTensor(model), ...extra],
        metadata: { result: JSON.stringify(result) },
      }),
    })
    return { round: entry.round, kind: UPDATE, encode }
  }

  #replay(records: readonly LogRecord[]): SavedRun | null {
    const commits: SavedCommit[] = []
    let journal: JournalEntry[] = []
    for (const { kind, bytes } of records) {
      if (kind === COMMIT) {
        const { parameters, statistics, file } = decodeModel(this.#layout, bytes, 'a commit')
        const commit = CommitSchema.parse(JSON.parse(file.metadata.commit ?? ''))
        const state = file.tensors.find(({ name }) => name === SERVER_STATE)?.data.slice() ?? null
        const updates = readUpdates(this.#layout, file.tensors)
        commits.push({ commit, model: { parameters, statistics }, state, updates })
        journal = []
      } else if (kind === SCORES) {
        const last = commits.at(-1)!
        last.commit = CommitSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
      } else if (kind === UPDATE) {
        const entry = this.#readEntry(bytes)
        if (entry) journal.push(entry)
      }
    }
    return commits.length === 0 ? null : { commits, journal }
  }

  /** An update that was acknowledged; null where it is none, or not what its signature covers: its site is asked again. */
  #readEntry(bytes: Uint8Array): JournalEntry | null {
    const { tensors, metadata } = decodeSafetensors(bytes, 'an update')
    const model = readModelTensor(this.#layout, tensors)
    const { data: entry } = JournalEntrySchema.safeParse(JSON.parse(metadata.result ?? ''))
    if (!entry) return null
    const data = tensors.find(({ name }) => name === VECTOR)?.data
    if ((data && sha256(data)) !== entry.vectorSha256) return null
    const isRight =
      modelSha256(model) === entry.update && verifyUpdate(Buffer.from(entry.key, 'base64url'), entry, entry.signature)
    if (!isRight) return null
    return { ...entry, model, ...(data ? { vector: floatsOf(data) } : {}) }
  }

  /** The port of the last start, so that a restarted coordinator is where its sites look for it. */
  lastPort(): number | undefined {
    const path = this.#portPath
    if (!existsSync(path)) return undefined
    const port = Number(readFileSync(path, 'utf8'))
    return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined
  }

  async writePort(port: number): Promise<void> {
    await writeFileAtomic(this.#portPath, `${port}\n`)
  }

  get #portPath(): string {
    return join(this.#folder, 'state', 'port')
  }
}
