import type { ControlFolder } from './control-folder.js'
import type { SitesDesk } from './sites-desk.js'

/** Answers what commands on the run's folder ask: one after the other; what was asked meanwhile is answered the next time. */
export class FolderRequests {
  readonly #control: ControlFolder
  readonly #desk: SitesDesk
  readonly #onRefused: (words: string) => void
  #isAnswering = false

  constructor(control: ControlFolder, desk: SitesDesk, onRefused: (words: string) => void) {
    this.#control = control
    this.#desk = desk
    this.#onRefused = onRefused
  }

  async answer(): Promise<void> {
    if (this.#isAnswering) return
    this.#isAnswering = true
    try {
      await this.#control.answerAll((request, id) => this.#desk.handle(request, id), this.#onRefused)
    } catch (error) {
      // A full disk is no end of a run, and whatever else lies in that folder isn't either.
      this.#onRefused(`a request of meshfl sites waits: ${(error as Error).message}`)
    } finally {
      this.#isAnswering = false
    }
  }
}
