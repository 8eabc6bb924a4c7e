import { randomInt } from 'node:crypto'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { pipeline } from 'node:stream'
import { formatHostPort, MeshflError } from '@meshfl/core'
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws'
import type { Target } from './target.js'
import { SUBPROTOCOL } from './tunnel-address.js'

/** The coordinator's end of tunnels. */
export interface TunnelServer {
  /** Where it listens, with the port that was really bound. */
  readonly address: Target
  /** Takes no more tunnels; those whose inner end was closed may still bring out what was sent, for a moment. */
  close(): Promise<void>
}

export interface TunnelServerOptions {
  listen: Target
  /** The coordinator's own port: every tunnel ends there, and nowhere else. */
  to: Target
  /** Tunnels of admitted keys that may be open at once. */
  most: number
}

const HANDSHAKE_MS = 10_000
/** Tunnels that nobody has proved anything on yet, beside the `most` that may all come back at once. Where there are more, one of them ends. */
export const SPARE_TUNNELS = 256
/**
 * All that the coordinator's socket says to a key that it does not admit, in bytes: ZMTP's greeting (64), then as frames of two bytes
 * and a command CURVE's WELCOME (168) and the ERROR that ends the handshake (10). An admitted key gets a READY in place of the ERROR,
 * which has 30 bytes and the socket's properties. (ZMTP 3.1, https://rfc.zeromq.org/spec/37/; CurveZMQ, https://rfc.zeromq.org/spec/26/;
 * libzmq's src/curve_server.cpp. Older versions of ZMTP are turned away by libzmq where a ZAP handler is asked.)
 */
export const MOST_TO_A_STRANGER = 64 + (2 + 168) + (2 + 10)
/** What the coordinator said last (the end of a run, the answer to a goodbye) still goes out. */
const LINGER_MS = 1000
const MOST_MESSAGE_BYTES = 1 << 20

/**
 * Listens for WebSockets and carries their bytes to the coordinator's port. It speaks plain HTTP: a reverse proxy before it adds
 * TLS. Encryption and admission are those of the coordinator's socket, at whose end of the loopback every tunnel comes out.
 * `GET /healthz` answers 200.
 * @throws MeshflError `BIND_FAILED`
 */
export async function startTunnelServer(options: TunnelServerOptions): Promise<TunnelServer> {
  const { listen, to, most } = options
  const timeouts = { headersTimeout: HANDSHAKE_MS, requestTimeout: HANDSHAKE_MS, connectionsCheckingInterval: 1000 }
  const http = createServer(timeouts, (request, response) => {
    const isHealth = request.method === 'GET' && request.url === '/healthz'
    response.writeHead(isHealth ? 200 : 426, { 'content-type': 'text/plain', connection: 'close' })
    response.end(isHealth ? 'ok\n' : 'meshfl join --tunnel connects here\n')
  })
  // Besides the tunnels, some connections whose handshake is on its way.
  http.maxConnections = 2 * most + SPARE_TUNNELS + 64
  // A stranger's tunnel ends when its handshake fails: it never takes the place of a site that is in, however many there are.
  const unproved: WebSocket[] = []
  const proved = new Set<WebSocket>()
  const settle = (webSocket: WebSocket): void => {
    const place = unproved.indexOf(webSocket)
    if (place >= 0) unproved.splice(place, 1)
  }
  const sockets = new WebSocketServer({
    server: http,
    perMessageDeflate: false,
    maxPayload: MOST_MESSAGE_BYTES,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    verifyClient: ({ req }, answer) => {
      if (proved.size >= most) answer(false, 503, 'too many tunnels')
      else answer(req.headers['sec-websocket-protocol'] === SUBPROTOCOL, 400, 'not a meshfl site')
    },
  })
  sockets.on('connection', (webSocket) => {
    // Any of them, not the oldest: else a flood gives every handshake the same time, and a site whose handshake takes longer never comes in.
    if (unproved.length >= most + SPARE_TUNNELS) {
      const [evicted] = unproved.splice(randomInt(unproved.length), 1)
      evicted!.terminate()
    }
    unproved.push(webSocket)
    webSocket.once('close', () => {
      settle(webSocket)
      proved.delete(webSocket)
    })
    const stream = createWebSocketStream(webSocket)
    const inner = connect({ ...to, noDelay: true })
    const look = (): void => {
      if (inner.bytesRead <= MOST_TO_A_STRANGER) return
      inner.off('data', look)
      settle(webSocket)
      // Those that came while there was room for them, and proved who they are when there was none: they dial again.
      if (proved.size >= most) webSocket.terminate()
      else if (webSocket.readyState === webSocket.OPEN) proved.add(webSocket)
    }
    inner.on('data', look)
    // Whichever side ends or breaks, both are closed: ZeroMQ then dials again.
    pipeline(stream, inner, stream, () => webSocket.terminate())
  })
  await new Promise<void>((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void =>
      reject(
        new MeshflError('BIND_FAILED', `cannot listen on ${formatHostPort(listen)} for tunnels: ${error.message}`, {
          hint: 'choose another port for --tunnel',
          cause: error,
        }),
      )
    // Both have it: ws repeats its server's errors.
    sockets.once('error', fail)
    http.listen(listen.port, listen.host, () => {
      sockets.off('error', fail)
      sockets.on('error', () => undefined)
      resolve()
    })
  })
  const bound = http.address() as AddressInfo
  return {
    address: { host: bound.address, port: bound.port },
    async close() {
      const closed = new Promise((resolve) => http.close(resolve))
      http.closeIdleConnections()
      const timer = setTimeout(() => {
        for (const webSocket of sockets.clients) webSocket.terminate()
        http.closeAllConnections()
      }, LINGER_MS)
      await closed // when every tunnel is
      clearTimeout(timer)
      sockets.close()
    },
  }
}
