import { MeshflError } from '@meshfl/core'
import { Context, Dealer } from 'zeromq'
import { packFrames, unpackFrames } from './message-parts.js'
import { receiveEach } from './receive-each.js'
import { SendQueue } from './send-queue.js'
import { DEFAULT_HEARTBEAT, type DealerOptions, type DealerTransport, isIpv6 } from './transport.js'
import { uninterrupted } from './uninterrupted.js'
import { encodeZ85 } from './z85.js'

const MAX_SOCKETS = 65_535 // what libzmq takes at most

let context: Context | undefined

/** One for all sites of a process: each context has threads of its own, and a simulation has thousands of sites. */
function sharedContext(): Context {
  context ??= new Context({ blocky: false, maxSockets: MAX_SOCKETS })
  return context
}

/**
 * Connects a site to its coordinator, encrypted, and again whenever the connection is lost.
 * @throws MeshflError `INVITE_MALFORMED` when the address is none
 */
export function openDealer(options: DealerOptions): DealerTransport {
  const { heartbeat = DEFAULT_HEARTBEAT } = options
  const socket = new Dealer({
    context: sharedContext(),
    ipv6: isIpv6(options.address),
    linger: 500, // what was said last (BYE) still goes out
    sendTimeout: 0,
    immediate: true,
    maxMessageSize: options.maxMessageBytes,
    handshakeInterval: 3000,
    heartbeatInterval: heartbeat.intervalMs,
    heartbeatTimeout: heartbeat.timeoutMs,
    // A random part, so that the sites of a restarted coordinator do not all come in the same millisecond.
    reconnectInterval: 100 + Math.floor(Math.random() * 50),
    reconnectMaxInterval: 1000,
    curvePublicKey: encodeZ85(options.curve.curvePublic),
    curveSecretKey: encodeZ85(options.curve.curveSecret),
    curveServerKey: encodeZ85(options.serverPublic),
  })
  let closed = false
  // What cannot be sent is not lost: all that matters is sent again after the next login.
  const queue = new SendQueue(socket, () => {
    if (!closed) options.onUnsent()
  })
  const unlessClosed = (listener: () => void) => (): void => {
    if (!closed) listener()
  }
  const events = uninterrupted(() => socket.events)
  let connectedAt = performance.now()
  const handshakeFailed = unlessClosed(() => options.onHandshakeFailed(performance.now() - connectedAt))
  events.on('connect', () => {
    connectedAt = performance.now()
  })
  events.on('handshake', unlessClosed(options.onConnected))
  events.on('disconnect', unlessClosed(options.onDisconnected))
  events.on('handshake:error:auth', unlessClosed(options.onRefused))
  events.on('handshake:error:other', handshakeFailed)
  events.on('handshake:error:protocol', handshakeFailed)
  const received = receiveEach(socket, (parts) => {
    if (!closed) options.onMessage(unpackFrames(parts))
  })
  try {
    uninterrupted(() => socket.connect(options.address))
  } catch (error) {
    socket.close()
    throw new MeshflError('INVITE_MALFORMED', `${options.address} is no address to connect to`, {
      kind: 'usage',
      hint: 'ask the coordinator for a new invite',
      cause: error,
    })
  }
  return {
    send: (frames) => queue.push(packFrames(frames)),
    async close() {
      if (closed) return
      await queue.close()
      closed = true
      socket.close()
      await received
    },
  }
}
