import { writeFileAtomic } from '@meshfl/core'
import type { PatientWrites } from './patient-writes.js'

interface CoalescedFileOptions {
  mode?: number
  /** Absent: a write that fails is told at once. */
  patience?: PatientWrites | undefined
}

/**
 * A JSON file that is written whole. Changes that come while it is being written wait for one more write that holds all of them:
 * a thousand sites that are approved at once are not a thousand files. Writes never overtake one another.
 */
export class CoalescedFile {
  readonly path: string
  readonly #options: CoalescedFileOptions
  #writing: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(path: string, options: CoalescedFileOptions) {
    this.path = path
    this.#options = options
  }

  /**
   * Resolves when what `content` gives, now or a little later, is on disk.
   * @throws MeshflError `DISK_FULL`, `PATH_NOT_WRITABLE`
   */
  write(content: () => unknown): Promise<void> {
    this.#next ??= this.#writing
      .catch(() => undefined) // told to whoever asked for that write
      .then(() => {
        this.#next = undefined
        const { patience, mode } = this.#options
        const write = (): Promise<void> =>
          writeFileAtomic(this.path, `${JSON.stringify(content(), null, 2)}\n`, mode === undefined ? {} : { mode })
        this.#writing = patience ? patience.run(this.path, write) : write()
        return this.#writing
      })
    return this.#next
  }
}
