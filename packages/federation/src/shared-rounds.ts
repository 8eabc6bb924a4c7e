import { DurableLog } from './durable-log.js'
import type { LogRecord } from './log-segment.js'
import { PatientWrites } from './patient-writes.js'
import type { SiteRounds } from './site-rounds.js'

const ROUND = 1
/** The log begins anew when it is larger than this, and than so many times what it would begin with. */
const LEAST_BYTES = 16 << 20
const MOST_TIMES = 4

/**
 * One log of the last rounds of many sites of one process: what they finish in one turn of the event loop goes to the disk with
 * one sync, where a file for each would take a sync for each. A record is the length of the site's name (one byte), the name,
 * and what the site keeps.
 */
export class SharedRounds {
  readonly #log: DurableLog
  readonly #last = new Map<string, LogRecord>()
  #isRestarting = false
  #kept = 0

  private constructor(log: DurableLog) {
    this.#log = log
  }

  /** @param path the log is `<path>.a` and `<path>.b` */
  static async open(path: string): Promise<SharedRounds> {
    const patience = new PatientWrites({ tell: () => undefined, retryMs: 1000 })
    const { log, records } = await DurableLog.open(path, { patience, growthBytes: 1 << 22 })
    const rounds = new SharedRounds(log)
    for (const record of records) rounds.#keep(siteOf(record), record)
    await log.restart([...rounds.#last.values()])
    patience.begin()
    return rounds
  }

  /** The part of one site. */
  of(site: string): SiteRounds {
    return {
      read: async () => {
        const record = this.#last.get(site)
        return record && Buffer.from(record.bytes.subarray(1 + record.bytes[0]!))
      },
      write: (bytes) => this.#write(site, bytes),
      close: async () => undefined,
    }
  }

  /** Takes nothing more; resolves when what was taken is on disk, or cannot be. */
  close(): Promise<void> {
    return this.#log.close()
  }

  #write(site: string, bytes: Uint8Array): Promise<void> {
    const name = Buffer.from(site)
    const record = { kind: ROUND, bytes: Buffer.concat([Buffer.from([name.length]), name, bytes]) }
    this.#keep(site, record)
    if (this.#isRestarting || this.#log.bytes < Math.max(LEAST_BYTES, MOST_TIMES * this.#kept))
      return this.#log.append(record)
    this.#isRestarting = true
    return this.#log.restart([...this.#last.values()]).finally(() => {
      this.#isRestarting = false
    })
  }

  #keep(site: string, record: LogRecord): void {
    this.#kept += record.bytes.length - (this.#last.get(site)?.bytes.length ?? 0)
    this.#last.set(site, record)
  }
}

function siteOf({ bytes }: LogRecord): string {
  return Buffer.from(bytes.subarray(1, 1 + bytes[0]!)).toString('utf8')
}
