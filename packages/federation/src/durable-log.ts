import { constants } from 'node:fs'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolder, syncFolder } from '@meshfl/core'
import {
  batchBytes,
  encodeRecords,
  HEADER_BYTES,
  type LogRecord,
  type NewRecord,
  newChain,
  readSegment,
  totalBytes,
} from './log-segment.js'
import type { PatientWrites } from './patient-writes.js'
import { withScratch } from './scratch.js'
import { writeAll } from './write-all.js'

/** A write has reached the disk when it returns: as with `fdatasync` after it, in one call. Windows has no such flag. */
const O_DSYNC = constants.O_DSYNC ?? 0

export interface DurableLogOptions {
  patience: PatientWrites
  /** What a file begins with and grows by. */
  growthBytes: number
  /**
   * Whether `open` also gives what the log held before it last began anew. Whoever needs that adds it to the log before it begins anew
   * again; only the first `restart` after `open` leaves it where it is, and goes to a third file.
   */
  keepsLast?: boolean
}

const NAMES = ['a', 'b', 'c'] as const
type Name = (typeof NAMES)[number]

/** A batch of so many bytes takes no more records: the first of thousands need not wait for the last. */
const FULL_BATCH_BYTES = 8 << 20

interface Batch {
  /** Whether these records are all that the log holds from now on. */
  isSnapshot: boolean
  records: NewRecord[]
  bytes: number
  settle: { resolve(): void; reject(error: unknown): void }[]
}

/**
 * An append-only log of records that survives a power cut at any moment: what `append` has resolved for is there, in its order,
 * and of what it has not, a prefix. Two files: one is written, the other is where the log begins anew (`restart`), so that it
 * does not grow for ever. What comes while a write is under way goes to the disk together, with one synchronous write; a block that was
 * synced is never written again before the next restart but one.
 */
export class DurableLog {
  readonly #path: string
  readonly #patience: PatientWrites
  readonly #growthBytes: number
  readonly #files = new Map<string, { handle: FileHandle; bytes: number }>()
  readonly #queue: Batch[] = []
  #writing: Promise<void> | undefined
  #active: Name
  /** Where it begins anew. */
  #spare: Name
  #generation: bigint
  #chain: Buffer = Buffer.alloc(0)
  #position = 0
  #isClosed = false

  private constructor(
    path: string,
    { patience, growthBytes }: DurableLogOptions,
    active: Name,
    spare: Name,
    generation: bigint,
  ) {
    this.#path = path
    this.#patience = patience
    this.#growthBytes = growthBytes
    this.#active = active
    this.#spare = spare
    this.#generation = generation
  }

  /**
   * Opens `<path>.a` and `<path>.b` and reads what they hold. Nothing is written before `restart`, which has to come first: it
   * is what makes a torn end harmless.
   * @returns `before`: with `keepsLast`, the records that the log held before it last began anew
   */
  static async open(
    path: string,
    options: DurableLogOptions,
  ): Promise<{ log: DurableLog; records: LogRecord[]; before: LogRecord[] }> {
    const found = await readSegments(path, options.keepsLast ? NAMES : NAMES.slice(0, 2))
    const [newest, second] = found
    const active = newest?.name ?? 'b'
    const generation = newest?.generation ?? 0n
    const last = options.keepsLast && second?.generation === generation - 1n ? second : undefined
    const spare = NAMES.find((name) => name !== active && name !== last?.name)!
    const log = new DurableLog(path, options, active, spare, generation)
    return { log, records: newest?.records ?? [], before: last?.records ?? [] }
  }

  /** Bytes of the log in use. */
  get bytes(): number {
    return this.#position
  }

  /** Adds a record; resolves when it is on disk. */
  append(record: NewRecord): Promise<void> {
    return this.#add([record], false)
  }

  /** Begins anew with these records in place of all that came before; resolves when they are on disk. */
  restart(records: readonly NewRecord[]): Promise<void> {
    return this.#add([...records], true)
  }

  /** Takes nothing more; resolves when what was taken is on disk, or cannot be. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#writing
    await Promise.all([...this.#files.values()].map(({ handle }) => handle.close()))
    this.#files.clear()
  }

  #add(records: NewRecord[], isSnapshot: boolean): Promise<void> {
    if (this.#isClosed) return Promise.reject(new TypeError('the log is closed'))
    const bytes = records.reduce((sum, { parts }) => sum + totalBytes(parts), 0)
    return new Promise((resolve, reject) => {
      const last = this.#queue.at(-1)
      if (last && !isSnapshot && last.bytes < FULL_BATCH_BYTES) {
        last.records.push(...records)
        last.bytes += bytes
        last.settle.push({ resolve, reject })
      } else {
        this.#queue.push({ isSnapshot, records, bytes, settle: [{ resolve, reject }] })
      }
      this.#writing ??= this.#writeQueue()
    })
  }

  async #writeQueue(): Promise<void> {
    await Promise.resolve() // what is appended in the same turn goes along
    for (let batch = this.#queue.shift(); batch; batch = this.#queue.shift()) {
      try {
        if (batch.isSnapshot) await this.#writeSnapshot(batch.records)
        else await this.#writeRecords(batch.records)
        for (const { resolve } of batch.settle) resolve()
      } catch (error) {
        for (const { reject } of batch.settle) reject(error)
      }
    }
    this.#writing = undefined
  }

  async #writeSnapshot(records: readonly NewRecord[]): Promise<void> {
    const name = this.#spare
    const generation = this.#generation + 1n
    const { header, chain } = newChain(generation, records.length)
    const length = HEADER_BYTES + batchBytes(records, HEADER_BYTES)
    await withScratch(length, async (bytes) => {
      header.copy(bytes)
      const last = encodeRecords(records, chain, bytes.subarray(HEADER_BYTES))
      await this.#store(name, bytes, 0)
      this.#chain = last
    })
    this.#spare = this.#active
    this.#active = name
    this.#generation = generation
    this.#position = length
  }

  async #writeRecords(records: readonly NewRecord[]): Promise<void> {
    if (this.#position === 0) throw new TypeError('a log begins with restart')
    const length = batchBytes(records, this.#position)
    await withScratch(length, async (bytes) => {
      const last = encodeRecords(records, this.#chain, bytes)
      await this.#store(this.#active, bytes, this.#position)
      this.#chain = last
    })
    this.#position += length
  }

  /** Bytes into a segment and onto the disk; where that fails, all of it again. */
  async #store(name: Name, bytes: Uint8Array, position: number): Promise<void> {
    await this.#patience.run(`${this.#path}.${name}`, async () => {
      const file = this.#files.get(name) ?? (await this.#openFile(name))
      await this.#write(file, bytes, position)
      if (O_DSYNC === 0) await file.handle.datasync()
    })
  }

  /** Where the file ends before the bytes do, zeros follow up to the next step: later writes find their blocks and change no metadata. */
  async #write(file: { handle: FileHandle; bytes: number }, bytes: Uint8Array, position: number): Promise<void> {
    const end = position + bytes.length
    const grown = Math.max(file.bytes, Math.ceil(end / this.#growthBytes) * this.#growthBytes)
    await writeAll(file.handle, end > file.bytes ? [bytes, ...zeros(grown - end)] : [bytes], position)
    file.bytes = grown
  }

  async #openFile(name: Name): Promise<{ handle: FileHandle; bytes: number }> {
    const path = `${this.#path}.${name}`
    makeFolder(dirname(path))
    // A single site's update tells more of its scans than the average does.
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | O_DSYNC, 0o600)
    try {
      const file = { handle, bytes: (await handle.stat()).size }
      if (file.bytes === 0) await this.#write(file, Buffer.alloc(1), 0)
      await handle.sync()
      await syncFolder(dirname(path))
      this.#files.set(name, file)
      return file
    } catch (error) {
      await handle.close()
      throw error
    }
  }
}

/**
 * What a log holds, for who only looks; null where there is none. Nothing is written and nobody waits, so another process may write
 * the log meanwhile: its last records may be missing, and what it held before it began anew is given where the new beginning is not whole yet.
 * @returns `snapshot`: how many of the records it last began with
 */
export async function readLog(path: string): Promise<{ records: LogRecord[]; snapshot: number } | null> {
  return (await readSegments(path, NAMES.slice(0, 2)))[0] ?? null
}

/** The segments that are whole, the newest first. */
async function readSegments(
  path: string,
  names: readonly Name[],
): Promise<({ name: Name } & NonNullable<ReturnType<typeof readSegment>>)[]> {
  const found = []
  for (const name of names) {
    const bytes = await readFile(`${path}.${name}`).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return new Uint8Array()
      throw error
    })
    const segment = readSegment(bytes)
    if (segment) found.push({ name, ...segment })
  }
  return found.sort((x, y) => (x.generation < y.generation ? 1 : -1))
}

const ZEROS = new Uint8Array(1 << 16)

/** So many zeros, in pieces. */
function zeros(bytes: number): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let left = bytes; left > 0; left -= ZEROS.length) pieces.push(ZEROS.subarray(0, left))
  return pieces
}
