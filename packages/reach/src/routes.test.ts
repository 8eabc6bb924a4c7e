import { getEventListeners, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { climbLadder } from './ladder.js'
import { closeAll, startEcho, startHttpProxy, startReverseProxy, startSocksProxy } from './proxies.fixture.js'
import { parseProxy } from './proxy.js'
import { formatRoute, openRoute, type Route, relayRoute } from './route.js'
import { MOST_TO_A_STRANGER, SPARE_TUNNELS, startTunnelServer, type TunnelServer } from './tunnel-server.js'

const tls = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../fixtures/tls/${name}`, import.meta.url)), 'utf8')
const never = new AbortController().signal

let tunnel: TunnelServer | undefined
afterEach(async () => {
  await tunnel?.close()
  tunnel = undefined
  await closeAll()
})

async function startTunnel(port: number, most = 8): Promise<URL> {
  const listen = { host: '127.0.0.1', port: 0 }
  tunnel = await startTunnelServer({ listen, to: { host: '127.0.0.1', port }, most })
  return new URL(`ws://127.0.0.1:${tunnel.address.port}/`)
}

/** What comes back of a megabyte that is sent. */
async function echoed(stream: Duplex): Promise<boolean> {
  const sent = Buffer.from(Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 31 + (i >> 8)) % 256))
  const parts: Buffer[] = []
  let length = 0
  stream.write(sent)
  for await (const part of stream) {
    parts.push(part as Buffer)
    length += (part as Buffer).length
    if (length >= sent.length) break
  }
  stream.destroy()
  return Buffer.concat(parts).equals(sent)
}

/** Has the far end say more than the coordinator's socket says to a stranger. */
async function prove(stream: Duplex): Promise<void> {
  let left = MOST_TO_A_STRANGER + 1
  stream.write(Buffer.alloc(left))
  while (left > 0) left -= ((await once(stream, 'data'))[0] as Buffer).length
}

describe('a route to the coordinator', () => {
  test('leads straight there', async () => {
    const echo = await startEcho()
    expect(await echoed(await openRoute({ host: '127.0.0.1', port: echo.port }, {}, never))).toBe(true)
  })

  test('leads through an HTTP proxy, with its password', async () => {
    const [echo, proxy] = [await startEcho(), await startHttpProxy({ credentials: 'user:pass word' })]
    const route = { proxy: parseProxy(`http://user:pass%20word@127.0.0.1:${proxy.port}`) }
    expect(await echoed(await openRoute({ host: '127.0.0.1', port: echo.port }, route, never))).toBe(true)
    expect(proxy.connections()).toBe(1)
  })

  test('leads through a SOCKS5 proxy, which resolves the name', async () => {
    const [echo, proxy] = [await startEcho(), await startSocksProxy({ user: 'user', password: 'secret' })]
    const route = { proxy: parseProxy(`socks5://user:secret@127.0.0.1:${proxy.port}`) }
    expect(await echoed(await openRoute({ host: 'localhost', port: echo.port }, route, never))).toBe(true)
    expect(proxy.connections()).toBe(1)
  })

  test('leads through the tunnel, and through the tunnel behind a proxy', async () => {
    const echo = await startEcho()
    const url = await startTunnel(echo.port)
    const target = { host: 'unused.invalid', port: 1 }
    expect(await echoed(await openRoute(target, { tunnel: url }, never))).toBe(true)
    for (const [kind, proxy] of [
      ['http', await startHttpProxy()],
      ['socks5', await startSocksProxy()],
    ] as const) {
      const route = { tunnel: url, proxy: parseProxy(`${kind}://127.0.0.1:${proxy.port}`) }
      expect(await echoed(await openRoute(target, route, never))).toBe(true)
      expect(proxy.connections()).toBe(1)
    }
  })

  test('leads through the tunnel behind a reverse proxy with a path', async () => {
    const echo = await startEcho()
    const url = await startTunnel(echo.port)
    const reverse = await startReverseProxy(Number(url.port))
    const route = { tunnel: new URL(`ws://127.0.0.1:${reverse.port}/meshfl`) }
    expect(await echoed(await openRoute({ host: 'unused.invalid', port: 1 }, route, never))).toBe(true)
  })

  test('does not trust a certificate that nobody vouches for, and says what to set', async () => {
    const echo = await startEcho()
    const url = await startTunnel(echo.port)
    const reverse = await startReverseProxy(Number(url.port), { key: tls('localhost.key'), cert: tls('localhost.pem') })
    const route = { tunnel: new URL(`wss://localhost:${reverse.port}/meshfl`) }
    await expect(openRoute({ host: 'unused.invalid', port: 1 }, route, never)).rejects.toMatchObject({
      code: 'TUNNEL_REFUSED',
      hint: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
    })
  })

  test.each<[string, () => Promise<Route>, object]>([
    [
      'nobody listens',
      async () => ({}),
      { code: 'TARGET_UNREACHABLE', message: expect.stringContaining('ECONNREFUSED') },
    ],
    [
      'the proxy wants a password',
      async () => ({
        proxy: parseProxy(`http://127.0.0.1:${(await startHttpProxy({ credentials: 'user:x' })).port}`),
      }),
      { code: 'PROXY_REFUSED', hint: expect.stringContaining('user:password') },
    ],
    [
      'the proxy forbids the port',
      async () => ({ proxy: parseProxy(`http://127.0.0.1:${(await startHttpProxy({ refuse: 403 })).port}`) }),
      { code: 'PROXY_REFUSED', message: expect.stringContaining('403') },
    ],
    [
      'the SOCKS proxy reaches nobody',
      async () => ({ proxy: parseProxy(`socks5://127.0.0.1:${(await startSocksProxy()).port}`) }),
      { code: 'PROXY_REFUSED' },
    ],
    [
      'the proxy is not there',
      async () => ({ proxy: parseProxy('http://127.0.0.1:1') }),
      { code: 'PROXY_UNREACHABLE' },
    ],
    [
      'a web server knows no tunnel',
      async () => ({ tunnel: new URL(`ws://127.0.0.1:${(await startHttpProxy()).port}`) }),
      { code: 'TUNNEL_REFUSED', message: expect.stringContaining('405') },
    ],
  ])('ends in words when %s', async (_, route, error) => {
    await expect(openRoute({ host: '127.0.0.1', port: 1 }, await route(), never)).rejects.toMatchObject(error)
  })

  test('is named for people, without a password', () => {
    expect(formatRoute({})).toBe('direct')
    const proxy = parseProxy('http://user:secret@proxy')
    expect(formatRoute({ proxy })).toBe('through http://user@proxy:3128')
    expect(formatRoute({ proxy, tunnel: new URL('wss://host/meshfl') })).toBe(
      'through http://user@proxy:3128 by the tunnel wss://host/meshfl',
    )
  })
})

describe('a relay', () => {
  test('closes the near end when the far one is gone, and opens it anew for the next', async () => {
    const echo = await startEcho()
    const failures: unknown[] = []
    const relay = await relayRoute({ host: '127.0.0.1', port: echo.port }, {}, (error) => failures.push(error))
    const port = Number(new URL(relay.endpoint).port)
    expect(await echoed(connect(port, '127.0.0.1'))).toBe(true)
    await echo.close()
    const refused = connect(port, '127.0.0.1').resume()
    await once(refused, 'close')
    expect(failures).toMatchObject([{ code: 'TARGET_UNREACHABLE' }])
    await relay.close()
    await expect(once(connect(port, '127.0.0.1'), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})

describe('the coordinator’s end of tunnels', () => {
  test('answers a health check, and shows others the door', async () => {
    const url = await startTunnel((await startEcho()).port)
    const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${url.port}${path}`)
    expect(await (await get('/healthz')).text()).toBe('ok\n')
    expect((await get('/')).status).toBe(426)
  })

  test('leaves nothing behind at the signal when it refuses a tunnel, however often', async () => {
    const url = await startTunnel((await startEcho()).port, 0)
    const { signal } = new AbortController()
    for (let i = 0; i < 3; i++)
      await expect(openRoute({ host: '', port: 1 }, { tunnel: url }, signal)).rejects.toThrow('503')
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  test('brings out what the coordinator said last, also when it is closed right after', async () => {
    const words = Buffer.alloc(4 << 20, 'goodbye ')
    const coordinator = createServer((socket) => void socket.end(words))
    coordinator.listen(0, '127.0.0.1')
    await once(coordinator, 'listening')
    const url = await startTunnel((coordinator.address() as AddressInfo).port)
    const site = await openRoute({ host: '', port: 1 }, { tunnel: url }, never)
    const heard: Buffer[] = []
    await once(site, 'readable')
    const closed = tunnel!.close()
    for await (const part of site) heard.push(part as Buffer)
    expect(Buffer.concat(heard).equals(words)).toBe(true)
    await closed
    tunnel = undefined
    coordinator.close()
  })

  test('opens no more tunnels than it may to those that have proved who they are', async () => {
    const url = await startTunnel((await startEcho()).port, 1)
    const open = (): Promise<Duplex> => openRoute({ host: '', port: 1 }, { tunnel: url }, never)
    const [first, late] = [await open(), await open()]
    await prove(first)
    await expect(open()).rejects.toMatchObject({ message: expect.stringContaining('503') })
    const ended = once(late.on('error', () => undefined).resume(), 'end')
    late.write(Buffer.alloc(MOST_TO_A_STRANGER + 1))
    await ended
    first.destroy()
    let again: Duplex | undefined
    while (!again) again = await open().catch(() => undefined)
    again.destroy()
  })

  test('a site that has proved who it is stays, however many strangers come and say as much as a stranger can', async () => {
    const url = await startTunnel((await startEcho()).port, 2)
    const open = (): Promise<Duplex> => openRoute({ host: '', port: 1 }, { tunnel: url }, never)
    const site = await open()
    await prove(site)
    let isOpen = true
    site.once('close', () => {
      isOpen = false
    })
    let gone = 0
    const strangers = await Promise.all(
      Array.from({ length: 2 * SPARE_TUNNELS + 8 }, async () => {
        const stranger = await open()
        stranger.on('error', () => undefined).resume()
        stranger.once('end', () => {
          gone += 1
        })
        stranger.write(Buffer.alloc(MOST_TO_A_STRANGER))
        return stranger
      }),
    )
    while (gone < strangers.length - 2 - SPARE_TUNNELS) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(isOpen).toBe(true)
    expect(gone).toBe(strangers.length - 2 - SPARE_TUNNELS)
    await prove(site)
    for (const stream of [site, ...strangers]) stream.destroy()
  })

  test('lets a site in while strangers open one tunnel after the other and say nothing', async () => {
    const url = await startTunnel((await startEcho()).port, 1)
    const open = (): Promise<Duplex> => openRoute({ host: '', port: 1 }, { tunnel: url }, never)
    const silent = await Promise.all(Array.from({ length: 1 + SPARE_TUNNELS }, open))
    const ended = Promise.race(silent.map((stream) => once(stream.on('error', () => undefined).resume(), 'end')))
    expect(await echoed(await open())).toBe(true)
    await ended
    for (const stream of silent) stream.destroy()
  })

  test('says that its port is taken', async () => {
    const url = await startTunnel((await startEcho()).port)
    const listen = { host: '127.0.0.1', port: Number(url.port) }
    await expect(startTunnelServer({ listen, to: listen, most: 1 })).rejects.toMatchObject({ code: 'BIND_FAILED' })
  })
})

test('the ladder tries every route at once and tells which one works', async () => {
  const echo = await startEcho()
  const url = await startTunnel(echo.port)
  const proxies = [
    parseProxy(`http://127.0.0.1:${(await startHttpProxy({ refuse: 403 })).port}`),
    parseProxy(`socks5://127.0.0.1:${(await startSocksProxy()).port}`),
  ]
  const rungs = await climbLadder({
    target: { host: '127.0.0.1', port: 1 },
    proxies,
    tunnel: url,
    signal: never,
    async knock(endpoint, signal) {
      const socket = connect(Number(new URL(endpoint).port), '127.0.0.1')
      socket.write('hello')
      const answer = await Promise.race([
        once(socket, 'data', { signal }).catch(() => [Buffer.from('')]),
        once(socket, 'close').then(() => [Buffer.from('')]),
      ])
      socket.destroy()
      return { works: answer[0]!.toString() === 'hello', words: 'an echo' }
    },
  })
  expect(rungs.map(({ route, works }) => `${formatRoute(route).replace(/:\d+/g, '')}: ${works}`)).toEqual([
    'direct: false',
    'through http://127.0.0.1: false',
    'through socks5://127.0.0.1: false',
    'by the tunnel ws://127.0.0.1/: true',
    'through http://127.0.0.1 by the tunnel ws://127.0.0.1/: false',
    'through socks5://127.0.0.1 by the tunnel ws://127.0.0.1/: true',
  ])
  expect(rungs[1]).toMatchObject({ words: expect.stringContaining('403'), hint: expect.stringContaining('CONNECT') })
})
