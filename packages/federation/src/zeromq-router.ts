import { setTimeout as sleep } from 'node:timers/promises'
import { MeshflError } from '@meshfl/core'
import { Context, curveKeyPair, Dealer, Router } from 'zeromq'
import { packFrames, unpackFrames } from './message-parts.js'
import { receiveEach } from './receive-each.js'
import { SendQueue } from './send-queue.js'
import { DEFAULT_HEARTBEAT, isIpv6, type RouterOptions, type RouterTransport } from './transport.js'
import { uninterrupted } from './uninterrupted.js'
import { encodeZ85 } from './z85.js'
import { serveZap, ZAP_DOMAIN, type ZapOptions } from './zap-handler.js'

const PORT_PATIENCE_MS = 2000

/**
 * Binds the coordinator's public socket: CURVE, with our own ZAP handler behind it. Before it returns it has dialled itself with
 * a random key and was turned away: a CURVE server whose handler is not asked would let everybody in.
 * @throws MeshflError `BIND_FAILED`, `ZAP_NOT_ENFORCED`
 */
export async function openRouter(options: RouterOptions): Promise<RouterTransport> {
  const testKey = curveKeyPair()
  const { context, zap } = await ownContext({
    admits: options.admits,
    onRefused: (address, key) => {
      if (!key || encodeZ85(key) !== testKey.publicKey) options.onRefused(address)
    },
    onFault: options.onFault,
  })

  const { heartbeat = DEFAULT_HEARTBEAT } = options
  const socket = new Router({
    context,
    ipv6: isIpv6(options.bind),
    linger: 500,
    mandatory: true,
    sendTimeout: 0,
    // Messages that libzmq holds for one peer: with its usual thousand, one could make us hold a gigabyte.
    receiveHighWaterMark: 16,
    sendHighWaterMark: 256,
    maxMessageSize: options.maxMessageBytes,
    handshakeInterval: 3000,
    heartbeatInterval: heartbeat.intervalMs,
    heartbeatTimeout: heartbeat.timeoutMs,
    curveServer: true,
    curvePublicKey: encodeZ85(options.identity.curvePublic),
    curveSecretKey: encodeZ85(options.identity.curveSecret),
    zapDomain: ZAP_DOMAIN,
    zapEnforceDomain: true,
  })
  try {
    const endpoint = await bind(socket, options)
    await expectRefusal(context, endpoint, encodeZ85(options.identity.curvePublic), testKey)
    const failed = (frames: Uint8Array[], code: string): void => {
      if (code !== 'ENOTSOCK' && code !== 'EBADF') options.onUnreachable(Buffer.from(frames[0]!).toString('hex'))
    }
    const queue = new SendQueue(socket, failed, options.onFault)
    let hangingUp: Promise<void> | undefined
    let closed = false
    const receive = async (): Promise<void> => {
      for (;;) {
        try {
          const take = ([peer, ...parts]: Buffer[]): void =>
            options.onMessage(peer!.toString('hex'), unpackFrames(parts))
          return await receiveEach(socket, take, options.relief)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || !hangingUp) throw error
          await hangingUp // nothing can be read while the socket is unbound and bound again
        }
      }
    }
    const received = receive()
    const rebind = async (): Promise<void> => {
      await socket.unbind(endpoint) // ends the connections that came by it, and frees what was kept of their messages
      const until = performance.now() + PORT_PATIENCE_MS
      for (;;) {
        try {
          return await socket.bind(endpoint)
        } catch (error) {
          if (closed) return
          if (performance.now() > until) throw error
          await sleep(50)
        }
      }
    }
    return {
      endpoint,
      send(peer, message) {
        const make = (frames: readonly Uint8Array[]): Uint8Array[] => [Buffer.from(peer, 'hex'), ...packFrames(frames)]
        queue.push(typeof message === 'function' ? () => make(message()) : make(message))
      },
      hangUp() {
        hangingUp ??= rebind().finally(() => {
          hangingUp = undefined
        })
        return hangingUp
      },
      async close() {
        closed = true
        await hangingUp
        await queue.close()
        socket.close()
        await Promise.all([received, zap.close()])
        spareContexts.push(context)
      },
    }
  } catch (error) {
    socket.close()
    await zap.close()
    throw error
  }
}

/** Of coordinators that have ended. A context has threads and open files, which go only when the collector comes by. */
const spareContexts: Context[] = []

/** A context with a handler: the handler's address is one a context, and one process may hold several coordinators. */
async function ownContext(options: ZapOptions) {
  const spare = spareContexts.shift()
  try {
    if (spare) return { context: spare, zap: await serveZap(spare, options) }
  } catch (error) {
    // libzmq gives an address back a moment after its socket was closed.
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
  }
  const context = new Context({ blocky: false })
  return { context, zap: await serveZap(context, options) }
}

async function bind(socket: Router, options: RouterOptions): Promise<string> {
  const open = /^(.*):(?:\*|0)$/.exec(options.bind)
  const until = performance.now() + PORT_PATIENCE_MS
  while (open && options.preferredPort && performance.now() < until) {
    try {
      await socket.bind(`${open[1]}:${options.preferredPort}`)
      return socket.lastEndpoint!
    } catch {
      await sleep(50) // a socket that was just closed may still hold it
    }
  }
  try {
    await socket.bind(open ? `${open[1]}:*` : options.bind)
    return socket.lastEndpoint!
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new MeshflError(
      'BIND_FAILED',
      `cannot listen on ${options.bind}: ${code === 'EADDRINUSE' ? 'the port is in use' : (error as Error).message}`,
      {
        kind: code === 'EINVAL' ? 'usage' : 'data',
        hint: 'stop the other program, or choose another port: --bind tcp://*:5556',
        data: { bind: options.bind, code },
        cause: error,
      },
    )
  }
}

/** An address to dial for an endpoint that is bound to every interface. */
function dialable(endpoint: string): string {
  return endpoint.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')
}

/** How long a refusal may take: on a machine that many programs share, libzmq gives up connections that it is slow to answer. */
const PATIENCE_MS = 30_000
const ATTEMPT_MS = 5000

async function expectRefusal(
  context: Context,
  endpoint: string,
  serverKey: string,
  key: { publicKey: string; secretKey: string },
): Promise<void> {
  const until = performance.now() + PATIENCE_MS
  let verdict: 'refused' | 'let in' | undefined
  while (!verdict && performance.now() < until) verdict = await tryConnection(context, endpoint, serverKey, key)
  if (verdict === 'refused') return
  throw new MeshflError(
    'ZAP_NOT_ENFORCED',
    `a connection with an unknown key was ${verdict ?? 'not answered'}: refusing to start`,
    {
      hint: 'check that the address to bind is this machine’s own and that no firewall blocks it from here',
      data: { endpoint },
    },
  )
}

/** Undefined if a connection was given up before it was refused or let in. */
async function tryConnection(
  context: Context,
  endpoint: string,
  serverKey: string,
  key: { publicKey: string; secretKey: string },
): Promise<'refused' | 'let in' | undefined> {
  const dealer = new Dealer({
    context,
    ipv6: isIpv6(endpoint),
    linger: 0,
    reconnectInterval: -1,
    curvePublicKey: key.publicKey,
    curveSecretKey: key.secretKey,
    curveServerKey: serverKey,
  })
  try {
    return await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), ATTEMPT_MS)
      const settle = (verdict?: 'refused' | 'let in') => (): void => {
        clearTimeout(timer)
        resolve(verdict)
      }
      const events = uninterrupted(() => dealer.events)
      events.on('handshake:error:auth', settle('refused'))
      events.on('handshake', settle('let in'))
      uninterrupted(() => dealer.connect(dialable(endpoint)))
    })
  } finally {
    dealer.close()
  }
}
