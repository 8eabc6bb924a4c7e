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
  readonly #onFault: (error: unknown) => void
  #waiting: Unsent[] = []
  #isDraining = false
  #drained: Promise<void> | undefined
  #closed = false

  /**
   * @param onFailed a message could not be sent
   * @param onFault a message could not be made, or `onFailed` threw: those behind it are sent all the same. Default: nobody handles it
   */
  constructor(
    socket: Sendable,
    onFailed: (frames: Uint8Array[], code: string) => void,
    onFault: (error: unknown) => void = leaveUnhandled,
  ) {
    this.#socket = socket
    this.#onFailed = onFailed
    this.#onFault = onFault
  }

  push(message: Unsent): void {
    if (this.#closed) return
    this.#waiting.push(message)
    if (!this.#isDraining) this.#drained = this.#drain()
  }

  /** Takes nothing more; resolves when all is sent. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#drained
  }

  async #drain(): Promise<void> {
    this.#isDraining = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      for (const message of batch) {
        try {
          await this.#send(typeof message === 'function' ? message() : message)
        } catch (error) {
          this.#onFault(error)
        }
      }
    }
    this.#isDraining = false
  }

  async #send(frames: Uint8Array[]): Promise<void> {
    try {
      await this.#socket.send(frames)
    } catch (error) {
      this.#onFailed(frames, (error as NodeJS.ErrnoException).code ?? String(error))
    }
  }
}

function leaveUnhandled(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
