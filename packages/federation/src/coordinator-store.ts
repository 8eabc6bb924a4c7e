import { existsSync, readFileSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  decodeModel,
  encodeModel,
  explainWriteError,
  MeshflError,
  type ModelLayout,
  type ModelState,
  modelSha256,
  type NamedTensor,
  RiseSchema,
  sha256,
  TEMPORARY_PREFIX,
  writeFileAtomic,
} from '@meshfl/core'
import { z } from 'zod'
import { verifyUpdate } from './ledger.js'
import { TrainMetricsSchema } from './messages.js'
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

/** All that a coordinator needs to go on, beside the model: one JSON text in the metadata of the commit. */
const CommitSchema = z.strictObject({
  format: z.literal('meshfl-commit/1'),
  run: z.string(),
  round: z.int().min(0),
  /** The round's line of the ledger and the ledger's bytes with it; null before the first round. */
  ledgerLine: z.string().nullable(),
  ledgerBytes: z.int().min(0),
  trained: SummarySchema.nullable(),
  /** Scores of this round's model; null until all are in. */
  evaluated: SummarySchema.nullable(),
  best: z.strictObject({ round: z.int().min(1), foregroundDice: z.number() }).nullable(),
  /** The last rise of the validation Dice. */
  rise: RiseSchema.nullable(),
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
  signature: z.string(),
  metrics: TrainMetricsSchema,
})
/** A site's accepted update of the round in progress. */
export type JournalEntry = z.infer<typeof JournalEntrySchema> & { model: ModelState; vector?: Float32Array }

/** What one atomic write holds. */
export interface Saved {
  commit: Commit
  model: ModelState
  /** The strategy's server state. */
  state: Uint8Array | null
}

/**
 * The run's folder. One file decides: state/commit.safetensors, replaced atomically. The ledger, rounds/, latest and best are
 * made from it and made again when a crash came between; the journal holds what was acknowledged since.
 */
export class CoordinatorStore {
  readonly #folder: string
  readonly #layout: ModelLayout
  readonly #journaling = new Set<Promise<void>>()
  readonly #metadata: (round: number) => Record<string, string>

  /** @param metadata what the model file of a round says */
  constructor(folder: string, layout: ModelLayout, metadata: (round: number) => Record<string, string>) {
    this.#folder = folder
    this.#layout = layout
    this.#metadata = metadata
  }

  /** The last commit, or null in a new folder. @throws MeshflError `COMMIT_INVALID` */
  async readCommit(): Promise<Saved | null> {
    const path = this.#path('state', 'commit.safetensors')
    if (!existsSync(path)) return null
    try {
      const { parameters, statistics, file } = decodeModel(this.#layout, await readFile(path), path)
      return {
        commit: CommitSchema.parse(JSON.parse(file.metadata.commit ?? '')),
        model: { parameters, statistics },
        state: file.tensors.find(({ name }) => name === SERVER_STATE)?.data.slice() ?? null,
      }
    } catch (error) {
      throw new MeshflError('COMMIT_INVALID', `${path} is no commit of this run: ${(error as Error).message}`, {
        hint: 'restore the run’s folder from a backup, or start again in an empty one',
        data: { path },
        cause: error,
      })
    }
  }

  async writeCommit({ commit, model, state }: Saved): Promise<void> {
    const server: NamedTensor[] = state ? [{ name: SERVER_STATE, dtype: 'U8', shape: [state.length], data: state }] : []
    const bytes = encodeModel(this.#layout, model, { commit: JSON.stringify(commit) }, server)
    await writeFileAtomic(this.#path('state', 'commit.safetensors'), bytes)
  }

  /**
   * Makes what the commit says of the ledger and the model files; doing it twice changes nothing.
   * @param part `round`: what a new round changes; `best`: what its scores change
   * @throws MeshflError `LEDGER_TRUNCATED`
   */
  async derive(commit: Commit, model: ModelState, part: 'all' | 'round' | 'best' = 'all'): Promise<void> {
    await Promise.all([
      ...(part === 'best' ? [] : [this.#deriveLedger(commit), this.#deriveRound(commit, model)]),
      ...(part === 'round' ? [] : [this.#deriveBest(commit, model)]),
    ])
  }

  async #deriveLedger({ ledgerLine, ledgerBytes, round }: Commit): Promise<void> {
    const path = this.#path('ledger.jsonl')
    const line = ledgerLine === null ? new Uint8Array() : Buffer.from(`${ledgerLine}\n`)
    const before = ledgerBytes - line.length
    try {
      const file = await open(path, 'a+')
      try {
        const { size } = await file.stat()
        if (size < before) {
          throw new MeshflError(
            'LEDGER_TRUNCATED',
            `${path} has ${size} bytes, round ${round} follows byte ${before}`,
            {
              hint: 'restore ledger.jsonl from a backup',
              data: { path, size, expected: before },
            },
          )
        }
        const tail = Buffer.alloc(Math.min(size - before, line.length))
        await file.read(tail, 0, tail.length, before)
        if (size === ledgerBytes && tail.equals(line)) return
        await file.truncate(before)
        await file.appendFile(line)
        await file.sync()
      } finally {
        await file.close()
      }
    } catch (error) {
      throw explainWriteError(error, path)
    }
  }

  async #deriveRound({ round }: Commit, model: ModelState): Promise<void> {
    if (round === 0) return
    const bytes = encodeModel(this.#layout, model, this.#metadata(round))
    const path = this.#path('rounds', `${String(round).padStart(4, '0')}.safetensors`)
    await Promise.all([writeFileAtomic(this.#path('latest.safetensors'), bytes), writeFileAtomic(path, bytes)])
  }

  async #deriveBest({ round, best, evaluated }: Commit, model: ModelState): Promise<void> {
    if (!evaluated || best?.round !== round) return
    const bytes = encodeModel(this.#layout, model, {
      ...this.#metadata(round),
      'meshfl.foregroundDice': String(best.foregroundDice),
    })
    await writeFileAtomic(this.#path('best.safetensors'), bytes)
  }

  async writeJournal(entry: JournalEntry): Promise<void> {
    const { model, vector, ...result } = entry
    const extra: NamedTensor[] = vector ? [vectorTensor(vector)] : []
    const bytes = encodeModel(this.#layout, model, { result: JSON.stringify(result) }, extra)
    // A single site's update tells more of its scans than the average does.
    const writing = writeFileAtomic(this.#journalPath(entry.round, entry.site), bytes, { mode: 0o600 })
    this.#journaling.add(writing)
    await writing.finally(() => this.#journaling.delete(writing))
  }

  /** Updates acknowledged for a round; those of other rounds are removed, and so is what a crash left half-written. */
  async readJournal(run: string, round: number, base: string): Promise<JournalEntry[]> {
    const folder = this.#path('journal')
    const entries: JournalEntry[] = []
    for (const name of existsSync(folder) ? await readdir(folder) : []) {
      const path = join(folder, name)
      const entry = name.startsWith(TEMPORARY_PREFIX) ? null : await this.#readEntry(path)
      if (entry && entry.run === run && entry.round === round && entry.base === base) entries.push(entry)
      else await rm(path, { force: true })
    }
    return entries
  }

  async #readEntry(path: string): Promise<JournalEntry | null> {
    try {
      const { parameters, statistics, file } = decodeModel(this.#layout, await readFile(path), path)
      const model = { parameters, statistics }
      const entry = JournalEntrySchema.parse(JSON.parse(file.metadata.result ?? ''))
      const data = file.tensors.find(({ name }) => name === VECTOR)?.data
      if ((data && sha256(data)) !== entry.vectorSha256) return null
      const isRight =
        modelSha256(model) === entry.update && verifyUpdate(Buffer.from(entry.key, 'base64url'), entry, entry.signature)
      if (!isRight) return null
      return { ...entry, model, ...(data ? { vector: floatsOf(data) } : {}) }
    } catch {
      return null // not ours, or damaged: its site is asked again
    }
  }

  async clearJournal(round: number, sites: readonly string[]): Promise<void> {
    await Promise.allSettled(this.#journaling) // a round may be committed while its updates are on their way to the journal
    await Promise.all(sites.map((site) => rm(this.#journalPath(round, site), { force: true })))
  }

  /** The port of the last start, so that a restarted coordinator is where its sites look for it. */
  lastPort(): number | undefined {
    const path = this.#path('state', 'port')
    if (!existsSync(path)) return undefined
    const port = Number(readFileSync(path, 'utf8'))
    return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined
  }

  async writePort(port: number): Promise<void> {
    await mkdir(this.#path('state'), { recursive: true })
    await writeFileAtomic(this.#path('state', 'port'), `${port}\n`)
  }

  #journalPath(round: number, site: string): string {
    return this.#path('journal', `${String(round).padStart(4, '0')}-${site}.safetensors`)
  }

  #path(...names: string[]): string {
    return join(this.#folder, ...names)
  }
}
