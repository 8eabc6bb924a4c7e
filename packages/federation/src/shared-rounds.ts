import { DurableLog } from './durable-log.js'
import type { LogRecord, NewRecord } from './log-segment.js'
import { PatientWrites } from './patient-writes.js'
import type { SiteRounds } from './site-rounds.js'

/** The kind of the record that lists the sites; what the i-th of them keeps is of kind `FIRST_SITE` + i. */
const SITES = 1
const FIRST_SITE = 2
/** Unless it is said otherwise, the log grows to this before it begins anew. */
const LEAST_BYTES = 16 << 20
const GROWTH_BYTES = 4 << 20

export interface SharedRoundsOptions {
  /** The log begins anew when it is larger than this, and than the last rounds of all sites. */
  leastBytes?: number
}

/** What a site keeps: encoded when it is written, and again when it is written anew. */
interface Kept {
  kind: number
  length: number
  /** How often the log had begun anew when it was written. */
  begun: number
  encode(): readonly Uint8Array[]
}

function recordOf({ kind, encode }: Kept): NewRecord {
  return { kind, parts: encode() }
}

/**
 * One log of the last rounds of many sites of one process: what they finish in one turn of the event loop goes to the disk with
 * one sync, where a file for each would take a sync for each. What is read is the log and what it held before it last began anew: so it
 * has to be written again only what the time before that holds alone, and where all sites write every round, that is nothing.
 */
export class SharedRounds {
  readonly #log: DurableLog
  readonly #leastBytes: number
  readonly #sites: string[]
  readonly #last = new Map<string, Kept>()
  #lastBytes = 0
  #begun = 0
  #isBeginning = false

  /** @param records the older ones first */
  private constructor(log: DurableLog, records: readonly LogRecord[], leastBytes: number) {
    this.#log = log
    this.#leastBytes = leastBytes
    const list = records.findLast(({ kind }) => kind === SITES)
    this.#sites = list ? (JSON.parse(Buffer.from(list.bytes).toString('utf8')) as string[]) : []
    for (const { kind, bytes } of records)
      if (kind !== SITES) this.#keep(this.#sites[kind - FIRST_SITE]!, kind, bytes.length, () => [bytes])
  }

  /** @param path the log is `<path>.a` and `<path>.b`, and `<path>.c` after a restart */
  static async open(path: string, { leastBytes = LEAST_BYTES }: SharedRoundsOptions = {}): Promise<SharedRounds> {
    const patience = new PatientWrites({ tell: () => undefined, retryMs: 1000 })
    const growthBytes = Math.min(GROWTH_BYTES, leastBytes)
    const { log, records, before } = await DurableLog.open(path, { patience, growthBytes, keepsLast: true })
    const rounds = new SharedRounds(log, [...before, ...records], leastBytes)
    try {
      await log.restart([rounds.#list(), ...[...rounds.#last.values()].map(recordOf)])
    } catch (error) {
      await log.close()
      throw error
    }
    patience.begin()
    return rounds
  }

  /** The part of one site. */
  of(site: string): SiteRounds {
    return {
      read: async () => {
        const parts = this.#last.get(site)?.encode()
        return parts && Buffer.concat(parts)
      },
      write: (encode) => this.#write(site, encode),
      close: async () => undefined,
    }
  }

  /** Takes nothing more; resolves when what was taken is on disk, or cannot be. */
  close(): Promise<void> {
    return this.#log.close()
  }

  #write(site: string, encode: () => readonly Uint8Array[]): Promise<void> {
    const known = this.#last.get(site)?.kind
    const record = { kind: known ?? FIRST_SITE + this.#sites.push(site) - 1, parts: encode() }
    const length = record.parts.reduce((sum, part) => sum + part.length, 0)
    if (!this.#isBeginning && this.#log.bytes >= Math.max(this.#leastBytes, this.#lastBytes))
      this.#beginAnew().catch(() => undefined)
    this.#keep(site, record.kind, length, encode)
    // In one batch with the record; and the last of a batch is on the disk when all of it is.
    if (known === undefined) void this.#log.append(this.#list()).catch(() => undefined)
    return this.#log.append(record)
  }

  /** Where it fails, the log goes on as it is, and begins anew later. */
  async #beginAnew(): Promise<void> {
    this.#isBeginning = true
    try {
      const old = [...this.#last.values()].filter(({ begun }) => begun < this.#begun)
      await Promise.all(old.map((kept) => this.#log.append(recordOf(kept))))
      for (const kept of old) kept.begun = this.#begun
      this.#begun += 1
      await this.#log.restart([this.#list()])
    } finally {
      this.#isBeginning = false
    }
  }

  #keep(site: string, kind: number, length: number, encode: () => readonly Uint8Array[]): void {
    this.#lastBytes += length - (this.#last.get(site)?.length ?? 0)
    this.#last.set(site, { kind, length, begun: this.#begun, encode })
  }

  #list(): NewRecord {
    return { kind: SITES, parts: [Buffer.from(JSON.stringify(this.#sites))] }
  }
}
