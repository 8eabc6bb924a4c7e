import { randomBytes } from 'node:crypto'
import { type Context, Pair } from 'zeromq'
import { uninterrupted } from './uninterrupted.js'

/**
 * Waits for the thread of a context that does its input and output: there is one, it does one thing after the other, and what
 * goes through these two sockets goes through it.
 */
export class IoBarrier {
  readonly #near: Pair
  readonly #far: Pair

  private constructor(near: Pair, far: Pair) {
    this.#near = near
    this.#far = far
  }

  static async open(context: Context): Promise<IoBarrier> {
    const near = new Pair({ context, linger: 0 })
    const far = new Pair({ context, linger: 0 })
    await far.bind('tcp://127.0.0.1:*')
    uninterrupted(() => near.connect(far.lastEndpoint!))
    return new IoBarrier(near, far)
  }

  /** Resolves when that thread has ended what it was at when this was called; with false where it was closed. One at a time. */
  async pass(): Promise<boolean> {
    if (this.#near.closed) return false
    const token = randomBytes(16)
    await this.#near.send(token)
    // Whoever else is on this machine could come first, and say something: it is not ours.
    for await (const [found] of this.#far) if (found?.equals(token)) return true
    return false
  }

  close(): void {
    this.#near.close()
    this.#far.close()
  }
}
