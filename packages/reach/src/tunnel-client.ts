import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { MeshflError } from '@meshfl/core'
import { createWebSocketStream, WebSocket } from 'ws'
import { openStream } from './open-stream.js'
import type { ProxyAddress } from './proxy.js'
import { SUBPROTOCOL } from './tunnel-address.js'

const PATIENCE_MS = 10_000
/** A message carries what one read of a socket gave. */
const MOST_MESSAGE_BYTES = 1 << 20

/**
 * A stream of bytes to a coordinator through its tunnel, through a proxy where one is given.
 * @throws MeshflError `TUNNEL_REFUSED`, and what `openStream` throws
 */
export async function openTunnel(url: URL, proxy: ProxyAddress | undefined, signal: AbortSignal): Promise<Duplex> {
  const isTls = url.protocol === 'wss:'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const socket = await openStream({ host, port: Number(url.port) || (isTls ? 443 : 80) }, proxy, signal)
  const webSocket = new WebSocket(url, SUBPROTOCOL, {
    createConnection: () => (isTls ? secured(socket, host) : socket),
    handshakeTimeout: PATIENCE_MS,
    perMessageDeflate: false, // what passes is encrypted and does not shrink
    maxPayload: MOST_MESSAGE_BYTES,
    followRedirects: false,
  })
  return await new Promise((resolve, reject) => {
    const stop = (): void => webSocket.terminate()
    signal.addEventListener('abort', stop, { once: true })
    webSocket.once('open', () => {
      signal.removeEventListener('abort', stop)
      webSocket.off('error', fail)
      resolve(createWebSocketStream(webSocket))
    })
    const fail = (error: Error): void => {
      signal.removeEventListener('abort', stop)
      socket.destroy()
      reject(
        new MeshflError('TUNNEL_REFUSED', `${url.host} opens no tunnel at ${url.pathname}: ${error.message}`, {
          hint: hintFor(error),
          cause: error,
        }),
      )
    }
    webSocket.once('error', fail)
  })
}

function secured(socket: Socket, host: string): Socket {
  return connectTls({ socket, ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }) })
}

function hintFor(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (/CERT|ISSUER|SIGNATURE/.test(code)) {
    return 'where a firewall inspects TLS, set NODE_EXTRA_CA_CERTS to a file with its certificate'
  }
  return 'check the address with the coordinator’s operator: meshfl serve --tunnel, and a reverse proxy that passes WebSockets on'
}
