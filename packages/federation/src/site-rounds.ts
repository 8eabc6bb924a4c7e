import { DurableLog } from './durable-log.js'
import type { PatientWrites } from './patient-writes.js'

/** The kind of the only record in a site's own log. */
const ROUND = 1

/** Where the last round of a site is kept. */
export interface SiteRounds {
  /** The last round that was kept; called before the first `write`. */
  read(): Promise<Uint8Array | undefined>
  /**
   * Keeps a round in place of the one before; when it resolves, it is on disk.
   * @param encode gives the same whenever it is called, in parts that nobody changes
   */
  write(encode: () => readonly Uint8Array[]): Promise<void>
  /** Takes nothing more; resolves when what was taken is on disk, or cannot be. */
  close(): Promise<void>
}

/** A log of the site's own: `<path>.a` and `<path>.b`. */
export class OwnRounds implements SiteRounds {
  readonly #path: string
  readonly #patience: PatientWrites
  #log: DurableLog | undefined

  constructor(path: string, patience: PatientWrites) {
    this.#path = path
    this.#patience = patience
  }

  async read(): Promise<Uint8Array | undefined> {
    const { log, records } = await DurableLog.open(this.#path, { patience: this.#patience, growthBytes: 1 << 16 })
    this.#log = log
    return records.at(-1)?.bytes
  }

  write(encode: () => readonly Uint8Array[]): Promise<void> {
    return this.#log!.restart([{ kind: ROUND, parts: encode() }])
  }

  async close(): Promise<void> {
    await this.#log?.close()
  }
}
