import { explainWriteError, mayPass } from '@meshfl/core'

export interface PatientWritesOptions {
  /** What the operator is told: when a write does not succeed, and when writing goes on. */
  tell(level: 'warn' | 'info', message: string): void
  retryMs: number
}

/**
 * Writes that outlast a full disk, a folder that cannot be written, a file server that is away, and strangers whose connections
 * take all open files for a moment: they are tried again until they succeed, and whoever
 * waits for them simply waits longer. What else goes wrong is thrown at once, and so is everything before `begin`: a start that
 * cannot write should say so and end.
 */
export class PatientWrites {
  readonly #options: PatientWritesOptions
  readonly #waiting = new Set<() => void>()
  #troubled = 0
  #isPatient = false

  constructor(options: PatientWritesOptions) {
    this.#options = options
  }

  /**
   * @param path for words about an error that has none of its own
   * @throws MeshflError those of which `mayPass` is true, before `begin` and when `close` came before it succeeded
   */
  async run<T>(path: string, work: () => Promise<T>): Promise<T> {
    let isTroubled = false
    try {
      for (;;) {
        try {
          return await work()
        } catch (thrown) {
          const error = explainWriteError(thrown, path)
          if (!mayPass(error) || !this.#isPatient) throw error
          if (!isTroubled) {
            isTroubled = true
            this.#troubled += 1
            if (this.#troubled === 1) this.#options.tell('warn', `${error.message}: waiting until it can be written`)
          }
          await this.#pause()
        }
      }
    } finally {
      if (isTroubled) {
        this.#troubled -= 1
        if (this.#troubled === 0 && this.#isPatient) this.#options.tell('info', 'it can be written again: going on')
      }
    }
  }

  begin(): void {
    this.#isPatient = true
  }

  /** Tries each waiting write once more, and no further. */
  close(): void {
    this.#isPatient = false
    for (const resume of this.#waiting) resume()
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resume(), this.#options.retryMs)
      const resume = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(resume)
        resolve()
      }
      this.#waiting.add(resume)
    })
  }
}
