/** What a socket can send one at a time: a second send before the first has ended throws EBUSY. */
interface Sendable {
  send(frames: Uint8Array[]): Promise<void>
}

/** Sends messages in order, one after the other. */
export class SendQueue {
  readonly #socket: Sendable
  readonly #onFailed: (frames: Uint8Array[], code: string) => void
  #waiting: Uint8Array[][] = []
  #draining: Promise<void> | undefined
  #closed = false

  constructor(socket: Sendable, onFailed: (frames: Uint8Array[], code: string) => void) {
    this.#socket = socket
    this.#onFailed = onFailed
  }

  push(frames: Uint8Array[]): void {
    if (this.#closed) return
    this.#waiting.push(frames)
    this.#draining ??= this.#drain()
  }

  /** Takes nothing more; resolves when all is sent. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#draining
  }

  async #drain(): Promise<void> {
    for (let frames = this.#waiting.shift(); frames; frames = this.#waiting.shift()) {
      try {
        await this.#socket.send(frames)
      } catch (error) {
        this.#onFailed(frames, (error as NodeJS.ErrnoException).code ?? String(error))
      }
    }
    this.#draining = undefined
  }
}
