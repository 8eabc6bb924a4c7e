import type { Header } from './messages.js'

/** An acceptance waits a moment for the task that says it too; what else there is to say is said at once. */
export class Acknowledgements {
  readonly #patienceMs: number
  readonly #send: (session: string, ack: Header<'ACK'>) => void
  readonly #guard: (work: () => void) => void
  readonly #waiting = new Map<string, Header<'ACK'>[]>()

  /**
   * @param patienceMs so long an acceptance waits: less than it takes a site to send its result again
   * @param guard runs what a timer begins
   */
  constructor(
    patienceMs: number,
    send: (session: string, ack: Header<'ACK'>) => void,
    guard: (work: () => void) => void,
  ) {
    this.#patienceMs = patienceMs
    this.#send = send
    this.#guard = guard
  }

  say(session: string, ack: Header<'ACK'>): void {
    if (ack.status !== 'accepted') {
      this.#send(session, ack)
      return
    }
    if (this.#waiting.size === 0) setTimeout(() => this.#guard(() => this.#sendAll()), this.#patienceMs)
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
