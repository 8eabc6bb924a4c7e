import { appendFile } from 'node:fs/promises'
import { explainWriteError } from '@meshfl/core'

/**
 * A file to which is appended what a process prints. Where it cannot be written, what came meanwhile is left out: neither the
 * process nor whoever started it is to end for its log.
 */
export class ProcessLog {
  readonly #path: string
  readonly #onFailure: (message: string) => void
  #waiting = ''
  #writing: Promise<void> | undefined
  #hasFailed = false

  /** @param onFailure is told why, the first time that something is left out */
  constructor(path: string, onFailure: (message: string) => void) {
    this.#path = path
    this.#onFailure = onFailure
  }

  write(text: string): void {
    this.#waiting += text
    this.#writing ??= this.#drain()
  }

  async #drain(): Promise<void> {
    while (this.#waiting !== '') {
      const text = this.#waiting
      this.#waiting = ''
      try {
        await appendFile(this.#path, text) // opened each time: after a failure a stream would be of no more use
      } catch (error) {
        if (!this.#hasFailed) this.#onFailure((explainWriteError(error, this.#path) as Error).message)
        this.#hasFailed = true
      }
    }
    this.#writing = undefined
  }
}
