import { statSync } from 'node:fs'
import { constants, open, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import {
  encodeModel,
  MeshflError,
  type ModelLayout,
  type ModelState,
  makeFolder,
  syncFolder,
  systemErrorName,
  TEMPORARY_PREFIX,
} from '@meshfl/core'
import { placeOf, type StepPlace } from './coordinator-steps.js'
import type { Commit, SavedCommit } from './coordinator-store.js'
import { writeAll } from './write-all.js'

/**
 * What others read of a run: the ledger, rounds/, latest and best. All of it follows from the commits, which the log keeps until
 * `sync` has brought these files to the disk: so writing them holds nobody up, and doing it twice changes nothing.
 */
export class DerivedFiles {
  readonly folder: string
  readonly #layout: ModelLayout
  readonly #metadata: (round: number) => Record<string, string>
  /** Written since the last `sync`. */
  readonly #unsynced = new Set<string>()

  /** @param metadata what the model file of a round says */
  constructor(folder: string, layout: ModelLayout, metadata: (round: number) => Record<string, string>) {
    this.folder = folder
    this.#layout = layout
    this.#metadata = metadata
  }

  /**
   * The lines of commits that follow one another. What the file holds beyond them is cut off, and what it holds of them already is
   * written again: it may be what the system could not bring to the disk, and shows nevertheless.
   * @throws MeshflError `LEDGER_TRUNCATED`
   */
  async writeLedger(commits: readonly Commit[]): Promise<void> {
    const path = join(this.folder, 'ledger.jsonl')
    const lines = Buffer.from(commits.map(({ ledgerLine }) => (ledgerLine === null ? '' : `${ledgerLine}\n`)).join(''))
    const { ledgerBytes, round } = commits.at(-1)!
    const before = ledgerBytes - lines.length
    const file = await open(path, constants.O_RDWR | constants.O_CREAT)
    try {
      const { size } = await file.stat()
      if (size < before) {
        throw new MeshflError('LEDGER_TRUNCATED', `${path} has ${size} bytes, round ${round} follows byte ${before}`, {
          hint: 'restore ledger.jsonl from a backup',
          data: { path, size, expected: before },
        })
      }
      this.#unsynced.add(path)
      await writeAll(file, [lines], before)
      if (size > ledgerBytes) await file.truncate(ledgerBytes)
    } finally {
      await file.close()
    }
  }

  /** Bytes of the ledger; 0 where there is none. */
  ledgerBytes(): number {
    return statSync(join(this.folder, 'ledger.jsonl'), { throwIfNoEntry: false })?.size ?? 0
  }

  /** The models of commits that follow one another, of which the last one is the latest; those within a round have no file. */
  async writeRounds(saved: readonly Pick<SavedCommit, 'commit' | 'model'>[]): Promise<void> {
    const whole = saved.filter(({ commit }) => commit.round > 0 && commit.round % (commit.steps ?? 1) === 0)
    for (const { commit, model } of whole) {
      const { round } = placeOfCommit(commit)
      const bytes = encodeModel(this.#layout, model, this.#metadata(round))
      await this.#replace(join('rounds', `${String(round).padStart(4, '0')}.safetensors`), bytes)
      if (commit === whole.at(-1)!.commit) await this.#replace('latest.safetensors', bytes)
    }
  }

  async writeBest(commit: Commit, model: ModelState): Promise<void> {
    const { best, evaluated } = commit
    const { round } = placeOfCommit(commit)
    if (!evaluated || best?.round !== round) return
    const bytes = encodeModel(this.#layout, model, {
      ...this.#metadata(round),
      'meshfl.foregroundDice': String(best.foregroundDice),
    })
    await this.#replace('best.safetensors', bytes)
  }

  /** When it resolves, what was written before is on the disk. @throws MeshflError `FILES_NOT_SYNCED` */
  async sync(): Promise<void> {
    const paths = [...this.#unsynced]
    await Promise.all(paths.map(syncFile))
    await Promise.all([...new Set(paths.map((path) => dirname(path)))].map(syncFolder))
    for (const path of paths) this.#unsynced.delete(path)
  }

  /** Whoever reads the file sees the old one or the new one. */
  async #replace(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.folder, name)
    const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${basename(path)}`)
    makeFolder(dirname(path))
    this.#unsynced.add(path)
    try {
      await writeFile(temporary, bytes)
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined)
      throw error
    }
  }
}

/** Where a commit stands: its round in what people read. */
function placeOfCommit({ round, steps }: Commit): StepPlace {
  return placeOf(round, steps ?? 1)
}

/** A sync that failed is not to be tried again: the system may have dropped what it could not write, and then says that all is well. */
async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.sync()
  } catch (error) {
    throw new MeshflError('FILES_NOT_SYNCED', `${path} may not be on the disk (${systemErrorName(error)})`, {
      hint: 'look after the disk or its file server, and run the same command again: it writes the file anew from the run’s log',
      data: { path },
      cause: error,
    })
  } finally {
    await file.close()
  }
}
