import { formatHostPort } from '@meshfl/core'
import { startTunnelServer } from '@meshfl/reach'
import { parseListen } from './listen-address.js'

export interface Tunnels {
  /** What to say of it. */
  words: string
  close(): Promise<void>
}

/**
 * Listens for tunnels to a coordinator that is bound to `endpoint`.
 * @throws MeshflError `LISTEN_INVALID`, `BIND_FAILED`
 */
export async function startTunnels(listen: string, endpoint: string, sites: number): Promise<Tunnels> {
  const bound = /^tcp:\/\/\[?(.*?)\]?:(\d+)$/.exec(endpoint)!
  const host = bound[1] === '0.0.0.0' ? '127.0.0.1' : bound[1] === '::' ? '::1' : bound[1]!
  const server = await startTunnelServer({
    listen: parseListen(listen, '--tunnel'),
    to: { host, port: Number(bound[2]) },
    most: 2 * sites + 16, // a site that comes back may still hold its old one
  })
  const { address } = server
  return {
    words: `listening for tunnels on ${formatHostPort(address)}: send wss://<this host>/... there`,
    close: () => server.close(),
  }
}
