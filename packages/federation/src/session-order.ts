/** What a message does: all of it now, or something that ends later and what then follows. */
export type Work = () => Promise<() => void> | undefined

/** Messages that are held at the same time, after which nothing more is read: more would keep nobody busier. */
const MOST_HELD = 128

/**
 * Has the messages of a session take effect in the order in which they came, also where one takes a while that others do not: whatever
 * comes behind it waits. Other sessions do not. What a session said last and did not come to goes with it.
 */
export class SessionOrder {
  readonly #guard: (work: () => void) => void
  /** What waits in each session in which something is under way. */
  readonly #behind = new Map<string, Work[]>()
  #held = 0
  #relief: { promise: Promise<void>; resolve(): void } | undefined

  /** @param guard runs what follows later */
  constructor(guard: (work: () => void) => void) {
    this.#guard = guard
  }

  /** Does it now, or as soon as all that came before it in this session is done. */
  run(session: string, work: Work): void {
    const before = this.#behind.get(session)
    if (before) {
      before.push(work)
      this.#held += 1
      return
    }
    const later = work()
    if (!later) return
    const behind: Work[] = []
    this.#behind.set(session, behind)
    this.#held += 1
    later.then(
      (follow) => this.#ended(session, behind, follow),
      (error) =>
        this.#ended(session, behind, () => {
          throw error
        }),
    )
  }

  /** The session has ended: nothing that is under way or waits in it takes effect. */
  forget(session: string): void {
    this.#behind.delete(session)
  }

  /** All sessions have ended. */
  close(): void {
    this.#behind.clear()
  }

  /** Whether anything is under way. */
  get isBusy(): boolean {
    return this.#held > 0
  }

  /** While too many messages are held: when that is over. */
  get relief(): Promise<void> | undefined {
    if (this.#held < MOST_HELD) return undefined
    if (!this.#relief) {
      let resolve!: () => void
      const promise = new Promise<void>((done) => {
        resolve = done
      })
      this.#relief = { promise, resolve }
    }
    return this.#relief.promise
  }

  #ended(session: string, behind: readonly Work[], follow: () => void): void {
    this.#held -= 1 + behind.length
    if (this.#held < MOST_HELD) {
      this.#relief?.resolve()
      this.#relief = undefined
    }
    if (this.#behind.get(session) !== behind) return
    this.#behind.delete(session)
    this.#guard(() => {
      follow()
      for (const work of behind) this.run(session, work)
    })
  }
}
