import { connect, type Socket } from 'node:net'
import { formatHostPort, MeshflError } from '@meshfl/core'
import { connectByHttp } from './http-connect.js'
import { formatProxy, type ProxyAddress } from './proxy.js'
import type { Target } from './target.js'

const PATIENCE_MS = 10_000

/**
 * A TCP connection to a target: direct, or through a proxy, which then resolves the target's name.
 * @throws MeshflError `PROXY_REFUSED`, `PROXY_UNREACHABLE`, `TARGET_UNREACHABLE`
 */
export async function openStream(
  target: Target,
  proxy: ProxyAddress | undefined,
  signal: AbortSignal,
): Promise<Socket> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)])
  try {
    if (!proxy) return await connectDirectly(target, patience)
    // Whether the proxy is there at all is another question, with another mend, than whether it lets us through.
    return proxy.kind === 'http'
      ? await connectByHttp(proxy, target, patience)
      : await connectBySocks(proxy, target, patience)
  } catch (error) {
    if (error instanceof MeshflError || signal.aborted) throw error
    const reason = patience.aborted ? `no answer in ${PATIENCE_MS / 1000} s` : reasonOf(error)
    throw proxy
      ? new MeshflError('PROXY_UNREACHABLE', `no connection to ${formatProxy(proxy)}: ${reason}`, {
          hint: 'check the address of the proxy, and whether this machine may use it',
          cause: error,
        })
      : new MeshflError('TARGET_UNREACHABLE', `no connection to ${formatHostPort(target)}: ${reason}`, {
          hint: 'check that the coordinator runs; where a firewall stands between, try --proxy or --tunnel',
          cause: error,
        })
  }
}

function connectDirectly(target: Target, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...target, noDelay: true })
    const stop = (): void => void socket.destroy(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    socket.once('error', reject)
    socket.once('connect', () => {
      signal.removeEventListener('abort', stop)
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

async function connectBySocks(proxy: ProxyAddress, target: Target, signal: AbortSignal): Promise<Socket> {
  const { SocksClient, SocksClientError } = await import('socks')
  const socket = await connectDirectly(proxy, signal)
  try {
    const { username, password } = proxy
    const credentials = username === undefined ? {} : { userId: username, password: password ?? '' }
    await SocksClient.createConnection({
      command: 'connect',
      proxy: { host: proxy.host, port: proxy.port, type: 5, ...credentials },
      destination: { host: target.host, port: target.port },
      existing_socket: socket,
      timeout: PATIENCE_MS,
      set_tcp_nodelay: true,
    })
    return socket
  } catch (error) {
    socket.destroy()
    if (!(error instanceof SocksClientError)) throw error
    throw new MeshflError(
      'PROXY_REFUSED',
      `${formatProxy(proxy)} does not connect to ${formatHostPort(target)}: ${error.message}`,
      {
        hint: `ask whoever runs the proxy to allow ${formatHostPort(target)}, and whether it wants user and password`,
        cause: error,
      },
    )
  }
}

/** What an error of Node's sockets says; for several addresses of one name, what the last says. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors.at(-1))
  return error instanceof Error ? error.message : String(error)
}
