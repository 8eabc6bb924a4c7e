import type { ModelLayout } from '@meshfl/core'
import type { Admissions } from './admissions.js'
import type { Told } from './coordinator-state.js'
import { modelBytes } from './frame.js'
import type { Gate } from './gate.js'
import type { Identity } from './identity.js'
import type { Timing } from './timing.js'
import { Traffic } from './traffic.js'
import type { RouterTransport } from './transport.js'
import { openRouter } from './zeromq-router.js'

interface CoordinatorSocketOptions {
  identity: Identity
  admissions: Admissions
  layout: ModelLayout
  timing: Timing
  /** Takes what comes in. */
  gate: Pick<Gate, 'receive' | 'siteOf' | 'peers'>
  /** A peer cannot be sent to any more, and all that it said has been read. */
  gone(peer: string): void
  tell(event: Told): void
  onRefused(words: string): void
  guard(work: () => void): void
  /** While too much that came in is still being checked: when it is not. */
  relief(): Promise<void> | undefined
}

/** The coordinator's public socket; the bytes of every site are counted on their way. */
export class CoordinatorSocket {
  readonly #options: CoordinatorSocketOptions
  readonly #traffic = new Traffic()
  #transport: RouterTransport | undefined
  #isClosed = false

  constructor(options: CoordinatorSocketOptions) {
    this.#options = options
  }

  /** Binds it. @returns the endpoint */
  async open(bind: string, preferredPort: number | undefined): Promise<string> {
    const { identity, admissions, layout, timing, gate, gone, guard, onRefused, relief } = this.#options
    // What a peer said last (BYE, ERROR) may still wait to be read when it cannot be sent to any more.
    // Once more through the sockets after the wait: where the process itself was held up, its timers come first.
    const whenRead = (work: () => void): void => {
      setTimeout(() => {
        const waiting = relief()
        if (waiting) void waiting.then(() => whenRead(work))
        else setImmediate(() => guard(work))
      }, 50).unref()
    }
    this.#transport = await openRouter({
      heartbeat: { intervalMs: timing.heartbeatMs, timeoutMs: timing.heartbeatTimeoutMs },
      bind,
      ...(preferredPort === undefined ? {} : { preferredPort }),
      identity,
      admits: (key) => admissions.admits(key, new Date()),
      onMessage: (peer, frames) => {
        if (this.#isClosed) return
        const site = gate.siteOf(peer)
        if (site) this.#traffic.count(site, 'received', frames)
        guard(() => gate.receive(peer, frames))
      },
      relief,
      onUnreachable: (peer) => whenRead(() => gone(peer)),
      onRefused: (address) =>
        guard(() => onRefused(`a connection from ${address} with an unknown key was turned away`)),
      onFault: (error) =>
        guard(() => {
          throw error
        }),
      maxMessageBytes: Math.max(1 << 20, 4 * modelBytes(layout)),
    })
    return this.#transport.endpoint
  }

  /** Sends a message, or what makes it when its turn has come. */
  send(peer: string, message: readonly Uint8Array[] | (() => readonly Uint8Array[])): void {
    const site = this.#options.gate.siteOf(peer)
    const counted = (frames: readonly Uint8Array[]): readonly Uint8Array[] => {
      if (site) this.#traffic.count(site, 'sent', frames)
      return frames
    }
    this.#transport?.send(peer, typeof message === 'function' ? () => counted(message()) : counted(message))
  }

  /** A peer that is gone cannot be sent to: so a killed site is noticed within one interval. */
  probe(): void {
    for (const peer of this.#options.gate.peers) this.#transport?.send(peer, [new Uint8Array()])
  }

  /** Ends every connection; sites come back. */
  async hangUp(): Promise<void> {
    await this.#transport?.hangUp()
  }

  /** Tells the figures that have changed. */
  tellTraffic(): void {
    for (const event of this.#traffic.news()) this.#options.tell(event)
  }

  /** Tells every site's figures at the end of a round. */
  tellTrafficOf(round: number): void {
    for (const event of this.#traffic.atEndOf(round)) this.#options.tell(event)
  }

  /** Takes nothing more in. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#transport?.close()
  }
}
