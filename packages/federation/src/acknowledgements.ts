import type { Header } from './messages.js'

/** So long an acknowledgement waits for a task to the same site, which makes it needless. */
const ACK_PATIENCE_MS = 50

/** An acceptance waits a moment for the task that says it too; what else there is to say is said at once. */
export class Acknowledgements {
  readonly #send: (session: string, ack: Header<'ACK'>) => void
  readonly #guard: (work: () => void) => void
  readonly #waiting = new Map<string, Header<'ACK'>[]>()

  /** @param guard runs what a timer begins */
  constructor(send: (session: string, ack: Header<'ACK'>) => void, guard: (work: () => void) => void) {
    this.#send = send
    this.#guard = guard
  }

  say(session: string, ack: Header<'ACK'>): void {
    if (ack.status !== 'accepted') {
      this.#send(session, ack)
      return
    }
    if (this.#waiting.size === 0) setTimeout(() => this.#guard(() => this.#sendAll()), ACK_PATIENCE_MS)
    this.#waiting.set(session, [...(this.#waiting.get(session) ?? []), ack])
  }

  /** A task is sent: it says that what came before is answered. */
  saidByTask(session: string): void {
    this.#waiting.delete(session)
  }

  #sendAll(): void {
    for (const [session, acks] of this.#waiting) for (const ack of acks) this.#send(session, ack)
    this.#waiting.clear()
  }
}
