/** What a socket can send one at a time: a second send before the first has ended throws EBUSY. */
interface Sendable {
  send(frames: Uint8Array[]): Promise<void>
}

/** A message, or how it is made when its turn has come: of thousands, the first are on their way while the last are made. */
export type Unsent = Uint8Array[] | (() => Uint8Array[])

/** Sends messages in order, one after the other. */
export class SendQueue {
  readonly #socket: Sendable
  readonly #onFailed: (frames: Uint8Array[], code: string) => void
  #waiting: Unsent[] = []
  #draining: Promise<void> | undefined
  #closed = false

  constructor(socket: Sendable, onFailed: (frames: Uint8Array[], code: string) => void) {
    this.#socket = socket
    this.#onFailed = onFailed
  }

  push(message: Unsent): void {
    if (this.#closed) return
    this.#waiting.push(message)
    this.#draining ??= this.#drain()
  }

  /** Takes nothing more; resolves when all is sent. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#draining
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      for (const message of batch) {
        const frames = typeof message === 'function' ? message() : message
        try {
          await this.#socket.send(frames)
        } catch (error) {
          this.#onFailed(frames, (error as NodeJS.ErrnoException).code ?? String(error))
        }
      }
    }
    this.#draining = undefined
  }
}
