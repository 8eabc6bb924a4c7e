import { createServer as createHttpServer, request } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** A server on a free port of the loopback, for a test. */
export interface Running {
  port: number
  /** Connections that it has taken. */
  connections(): number
  close(): Promise<void>
}

const onExit: (() => Promise<void>)[] = []

/** Closes all that was started since it was called last. */
export async function closeAll(): Promise<void> {
  await Promise.all(onExit.splice(0).map((close) => close()))
}

async function listen(server: Server): Promise<Running> {
  const sockets = new Set<Socket>()
  let count = 0
  server.on('connection', (socket: Socket) => {
    count += 1
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(() => resolve()))
  }
  onExit.push(close)
  return { port: (server.address() as AddressInfo).port, connections: () => count, close }
}

/** Sends back what it gets. */
export function startEcho(): Promise<Running> {
  return listen(createServer((socket) => void socket.pipe(socket)))
}

/** Both ways between two sockets, until one ends. */
function join(a: Socket, b: Socket): void {
  a.pipe(b)
  b.pipe(a)
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    one.on('error', () => other.destroy())
    one.once('close', () => other.destroy())
  }
}

/** An HTTP proxy that knows CONNECT only, as squid is set up in many hospitals. */
export function startHttpProxy(options: { credentials?: string; refuse?: number } = {}): Promise<Running> {
  const server = createHttpServer((_, response) => response.writeHead(405).end())
  server.on('connect', (asked, near: Socket, head) => {
    const given = Buffer.from(asked.headers['proxy-authorization']?.replace('Basic ', '') ?? '', 'base64').toString()
    if (options.credentials !== undefined && given !== options.credentials) {
      near.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n')
      return
    }
    if (options.refuse !== undefined) {
      near.end(`HTTP/1.1 ${options.refuse} Forbidden\r\n\r\n`)
      return
    }
    const { hostname, port } = new URL(`tcp://${asked.url}`)
    const far = connect(Number(port), hostname, () => {
      near.write('HTTP/1.1 200 Connection established\r\n\r\n')
      if (head.length > 0) far.write(head)
      join(near, far)
    })
    far.once('error', () => near.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'))
  })
  return listen(server)
}

/** A SOCKS5 proxy (RFC 1928): CONNECT to IPv4 addresses and names, without or with a password (RFC 1929). */
export function startSocksProxy(credentials?: { user: string; password: string }): Promise<Running> {
  const serve = async (near: Socket): Promise<void> => {
    const take = reader(near)
    const [, methods] = await take(2)
    await take(methods!)
    near.write(Buffer.from([5, credentials ? 2 : 0]))
    if (credentials) {
      const [, userLength] = await take(2)
      const user = (await take(userLength!)).toString()
      const password = (await take((await take(1))[0]!)).toString()
      const isRight = user === credentials.user && password === credentials.password
      near.write(Buffer.from([1, isRight ? 0 : 1]))
      if (!isRight) return void near.end()
    }
    const type = (await take(4))[3]
    const host = type === 1 ? (await take(4)).join('.') : (await take((await take(1))[0]!)).toString()
    const far = connect((await take(2)).readUInt16BE(0), host, () => {
      near.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
      join(near, far)
    })
    far.once('error', () => near.end(Buffer.from([5, 5, 0, 1, 0, 0, 0, 0, 0, 0])))
  }
  return listen(createServer((near) => void serve(near).catch(() => near.destroy())))
}

function reader(socket: Socket): (bytes: number) => Promise<Buffer> {
  return async (bytes) => {
    for (;;) {
      const chunk = socket.read(bytes) as Buffer | null
      if (chunk?.length === bytes) return chunk
      if (chunk || socket.readableEnded) throw new Error('ended early')
      await new Promise<void>((resolve, reject) => {
        socket.once('readable', resolve)
        socket.once('close', reject)
      })
    }
  }
}

/** A reverse proxy as nginx or Caddy is one: ends TLS, passes WebSockets on to a port behind it, and drops the path's prefix. */
export function startReverseProxy(to: number, tls?: { key: string; cert: string }): Promise<Running> {
  const server = tls ? createHttpsServer(tls) : createHttpServer()
  server.on('upgrade', (asked, near: Socket, head: Buffer) => {
    const inner = request({
      port: to,
      host: '127.0.0.1',
      path: asked.url!.replace(/^\/meshfl/, '') || '/',
      headers: asked.headers,
    })
    inner.once('upgrade', (response, far, farHead) => {
      const lines = response.rawHeaders.flatMap((word, i, all) => (i % 2 === 0 ? [`${word}: ${all[i + 1]}`] : []))
      near.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`)
      if (farHead.length > 0) near.write(farHead)
      if (head.length > 0) far.write(head)
      join(near, far)
    })
    inner.once('response', (response) => near.end(`HTTP/1.1 ${response.statusCode} ${response.statusMessage}\r\n\r\n`))
    inner.once('error', () => near.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'))
    inner.end()
  })
  return listen(server)
}
