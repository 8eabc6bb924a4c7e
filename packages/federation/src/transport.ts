import type { Identity } from './identity.js'

/**
 * ZMTP's signs of life on a silent connection, and after how long without any whole message it is given up, in milliseconds. Two
 * thirds of a minute: a model of 23 KB takes 23 s at 1 kB/s, and while it comes nothing else does.
 */
export interface Heartbeat {
  intervalMs: number
  timeoutMs: number
}
export const DEFAULT_HEARTBEAT: Heartbeat = { intervalMs: 5000, timeoutMs: 40_000 }

/** The coordinator's end: one public port, many peers. Sockets only carry; what a message means is decided elsewhere. */
export interface RouterTransport {
  /** With the port that was really bound: `tcp://127.0.0.1:45123`. */
  readonly endpoint: string
  /** Queues a message, or what makes it when its turn has come; a peer that is gone is told to `onUnreachable`. */
  send(peer: string, message: readonly Uint8Array[] | (() => readonly Uint8Array[])): void
  /** Ends every connection, and listens again. */
  hangUp(): Promise<void>
  /** Sends what is queued, then closes. */
  close(): Promise<void>
}

export interface RouterOptions {
  bind: string
  /** Tried first where `bind` leaves the port open: a restarted coordinator is where its sites look for it. */
  preferredPort?: number
  identity: Identity
  /** Whether a CURVE key may connect at all. */
  admits(curvePublic: Buffer): boolean
  onMessage(peer: string, frames: Uint8Array[]): void
  /** Where no more should be read just now: when it should. Default: always. */
  relief?(): Promise<void> | undefined
  onUnreachable(peer: string): void
  /** A connection was turned away because of its key. */
  onRefused(address: string): void
  /** Something of ours failed, such as the making of a message; others are sent, and connections answered, all the same. */
  onFault(error: unknown): void
  maxMessageBytes: number
  heartbeat?: Heartbeat
}

/** A site's end: one outbound connection that is made again for ever. */
export interface DealerTransport {
  send(frames: readonly Uint8Array[]): void
  close(): Promise<void>
}

export interface DealerOptions {
  address: string
  serverPublic: Buffer
  curve: { curvePublic: Buffer; curveSecret: Buffer }
  maxMessageBytes: number
  heartbeat?: Heartbeat
  onConnected(): void
  onDisconnected(): void
  onMessage(frames: Uint8Array[]): void
  /** A message could not be sent: there is no connection just now. */
  onUnsent(): void
  /** The coordinator does not admit the key. */
  onRefused(): void
  /**
   * The encrypted handshake broke off: another server key, or a coordinator that is just stopping, or has no time.
   * @param afterMs how long after the connection was made
   */
  onHandshakeFailed(afterMs: number): void
}

/**
 * Whether an endpoint names an IPv6 address: libzmq reads it as one only where a socket is told so. It is not told so for names, of
 * which it would then take the IPv6 address alone, whether or not the network carries it.
 */
export function isIpv6(endpoint: string): boolean {
  return endpoint.startsWith('tcp://[')
}
