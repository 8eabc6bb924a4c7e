import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type Duplex, pipeline } from 'node:stream'

/** A port on this machine's loopback whose connections come out at the far end of a route. */
export interface Relay {
  /** For ZeroMQ: `tcp://127.0.0.1:45123`. */
  readonly endpoint: string
  /** Takes no more connections; those whose near end was closed may still bring out what was sent, for a moment. */
  close(): Promise<void>
}

export interface RelayOptions {
  /** Opens the far end of one connection. */
  open(signal: AbortSignal): Promise<Duplex>
  /** The far end could not be opened; the connection here is closed, and whoever made it dials again. */
  onFailed(error: unknown): void
}

/** What was said last (BYE) still goes out. */
const LINGER_MS = 1000

/** Starts a relay. ZeroMQ knows of no proxies but SOCKS5, and of no WebSockets over TLS: it dials this port instead. */
export async function startRelay({ open, onFailed }: RelayOptions): Promise<Relay> {
  const stopped = new AbortController()
  const streams = new Set<Duplex>()
  const carry = async (near: Socket): Promise<void> => {
    streams.add(near)
    near.once('close', () => streams.delete(near))
    near.on('error', () => undefined) // one that breaks while the far end is opened; afterwards the pipeline hears it
    near.setNoDelay(true)
    let far: Duplex
    try {
      far = await open(stopped.signal)
    } catch (error) {
      near.destroy()
      if (!stopped.signal.aborted) onFailed(error)
      return
    }
    streams.add(far)
    far.once('close', () => streams.delete(far))
    pipeline(near, far, near, () => {
      near.destroy()
      far.destroy()
    })
  }
  const server = createServer((near) => void carry(near))
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject) // later ones are of connections that could not be taken
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `tcp://127.0.0.1:${port}`,
    async close() {
      stopped.abort()
      const closed = new Promise((resolve) => server.close(resolve))
      const timer = setTimeout(() => {
        for (const stream of streams) stream.destroy()
      }, LINGER_MS)
      await closed // when every near end is
      clearTimeout(timer)
    },
  }
}
