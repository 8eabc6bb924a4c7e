import { MeshflError } from '@meshfl/core'
import { startTunnelServer } from '@meshfl/reach'

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
    words: `listening for tunnels on ${address.host}:${address.port}: send wss://<this host>/... there`,
    close: () => server.close(),
  }
}

/** `8080`, `127.0.0.1:8080` or `[::1]:8080`; without a host, the loopback. @throws MeshflError `LISTEN_INVALID` */
export function parseListen(text: string, option: string): { host: string; port: number } {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):)?(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65_535) {
    throw new MeshflError('LISTEN_INVALID', `${option} ${text} is no host:port`, {
      kind: 'usage',
      hint: 'write it as 127.0.0.1:8080, or 8080 for this machine only',
    })
  }
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port }
}
