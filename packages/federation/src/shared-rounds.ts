import { DurableLog } from './durable-log.js'
import type { LogRecord, NewRecord } from './log-segment.js'
import { PatientWrites } from './patient-writes.js'
import type { SiteRounds } from './site-rounds.js'

/** The kind of the record that lists the sites; what the i-th of them keeps is of kind `FIRST_SITE` + i. */
const SITES = 1
const FIRST_SITE = 2
/** The log begins anew when it is larger than this, and than so many times what it would begin with. */
const LEAST_BYTES = 16 << 20
const MOST_TIMES = 4

/**
 * One log of the last rounds of many sites of one process: what they finish in one turn of the event loop goes to the disk with
 * one sync, where a file for each would take a sync for each.
 */
export class SharedRounds {
  readonly #log: DurableLog
  readonly #sites: string[]
  /** What each site keeps: encoded when it is written, and again when the log begins anew. */
  readonly #last = new Map<string, { kind: number; length: number; encode(): readonly Uint8Array[] }>()
  #lastBytes = 0
  #isRestarting = false

  private constructor(log: DurableLog, records: readonly LogRecord[]) {
    this.#log = log
    const list = records.findLast(({ kind }) => kind === SITES)
    this.#sites = list ? (JSON.parse(Buffer.from(list.bytes).toString('utf8')) as string[]) : []
    for (const { kind, bytes } of records)
      if (kind !== SITES) this.#keep(this.#sites[kind - FIRST_SITE]!, kind, bytes.length, () => [bytes])
  }

  /** @param path the log is `<path>.a` and `<path>.b` */
  static async open(path: string): Promise<SharedRounds> {
    const patience = new PatientWrites({ tell: () => undefined, retryMs: 1000 })
    const { log, records } = await DurableLog.open(path, { patience, growthBytes: 1 << 22 })
    const rounds = new SharedRounds(log, records)
    await log.restart(rounds.#snapshot())
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
    this.#keep(site, record.kind, length, encode)
    if (this.#isRestarting || this.#log.bytes < Math.max(LEAST_BYTES, MOST_TIMES * this.#lastBytes)) {
      // In one batch with the record; and the last of a batch is on the disk when all of it is.
      if (known === undefined) void this.#log.append(this.#list()).catch(() => undefined)
      return this.#log.append(record)
    }
    this.#isRestarting = true
    return this.#log.restart(this.#snapshot()).finally(() => {
      this.#isRestarting = false
    })
  }

  #keep(site: string, kind: number, length: number, encode: () => readonly Uint8Array[]): void {
    this.#lastBytes += length - (this.#last.get(site)?.length ?? 0)
    this.#last.set(site, { kind, length, encode })
  }

  #snapshot(): NewRecord[] {
    const last = [...this.#last.values()].map(({ kind, encode }) => ({ kind, parts: encode() }))
    return [this.#list(), ...last]
  }

  #list(): NewRecord {
    return { kind: SITES, parts: [Buffer.from(JSON.stringify(this.#sites))] }
  }
}
