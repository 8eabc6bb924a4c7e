import { once } from 'node:events'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { createIdentity, type Identity } from '../../packages/federation/src/identity.js'
import { openDealer } from '../../packages/federation/src/zeromq-dealer.js'
import { openRouter } from '../../packages/federation/src/zeromq-router.js'
import { startRelay } from '../../packages/reach/src/relay.js'
import { openRoute, relayRoute } from '../../packages/reach/src/route.js'
import { MOST_TO_A_STRANGER, SPARE_TUNNELS, startTunnelServer } from '../../packages/reach/src/tunnel-server.js'

const host = '127.0.0.1'
const onExit: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of onExit.splice(0).reverse()) await close()
})

/** A coordinator's socket that admits one key, and a tunnel to it. */
async function startTunnelTo(admitted: Identity, most: number) {
  const identity = createIdentity()
  const router = await openRouter({
    bind: `tcp://${host}:*`,
    identity,
    admits: (key) => key.equals(admitted.curvePublic),
    onMessage: () => undefined,
    onUnreachable: () => undefined,
    onRefused: () => undefined,
    onFault: () => undefined,
    maxMessageBytes: 1 << 20,
  })
  onExit.push(() => router.close())
  const to = { host, port: Number(router.endpoint.split(':').at(-1)) }
  const tunnel = await startTunnelServer({ listen: { host, port: 0 }, to, most })
  onExit.push(() => tunnel.close())
  return { identity, to, url: new URL(`ws://${host}:${tunnel.address.port}/`) }
}

/** Dials a coordinator's socket by a relay; what happens is told. */
function dial(endpoint: string, server: Identity, curve: Identity, told: (what: string) => void): void {
  const dealer = openDealer({
    address: endpoint,
    serverPublic: server.curvePublic,
    curve,
    maxMessageBytes: 1 << 20,
    onConnected: () => told('connected'),
    onDisconnected: () => told('disconnected'),
    onRefused: () => told('refused'),
    onHandshakeFailed: () => told('failed'),
    onMessage: () => undefined,
    onUnsent: () => undefined,
  })
  onExit.push(() => dealer.close())
}

test('the coordinator’s socket says no more to a key that it does not admit than the tunnel takes for that, and more to others', async () => {
  const [site, stranger] = [createIdentity(), createIdentity()]
  const { identity, to } = await startTunnelTo(site, 8)
  const heard = async (curve: Identity, verdict: string): Promise<number> => {
    let socket: ReturnType<typeof connect> | undefined

    const relay = await startRelay({
      open: async () => {
        if (socket) throw new Error('one connection is enough')
        socket = connect(to)
        await once(socket, 'connect')
        return socket
      },
      onFailed: () => undefined,
    })
    onExit.push(() => relay.close())
    await new Promise<void>((resolve) =>
      dial(relay.endpoint, identity, curve, (what) => {
        if (what === verdict) resolve()
      }),
    )
    return socket!.bytesRead
  }
  expect(await heard(stranger, 'refused')).toBe(MOST_TO_A_STRANGER)
  expect(await heard(site, 'connected')).toBeGreaterThan(MOST_TO_A_STRANGER)
})

test('a site comes in and stays while strangers open one tunnel after the other, without end', async () => {
  const site = createIdentity()
  const { identity, url } = await startTunnelTo(site, 4)
  let isFlooding = true
  let opened = 0
  const strangers = new Set<Duplex>()
  const flood = async (): Promise<void> => {
    while (isFlooding) {
      const stranger = await openRoute({ host: '', port: 1 }, { tunnel: url }, new AbortController().signal).catch(
        () => undefined,
      )
      if (!stranger) continue
      opened += 1
      strangers.add(stranger)
      stranger.on('error', () => undefined).resume()
      stranger.once('close', () => strangers.delete(stranger))
    }
  }
  const floods = Promise.all(Array.from({ length: 8 }, flood))
  onExit.push(async () => {
    isFlooding = false
    await floods
    for (const stranger of strangers) stranger.destroy()
  })
  const waitFor = async (count: number): Promise<void> => {
    while (opened < count) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await waitFor(SPARE_TUNNELS + 4)
  const relay = await relayRoute({ host: '', port: 1 }, { tunnel: url }, () => undefined)
  onExit.push(() => relay.close())
  const told: string[] = []
  await new Promise<void>((resolve) =>
    dial(relay.endpoint, identity, site, (what) => {
      told.push(what)
      if (what === 'connected') resolve()
    }),
  )
  told.length = 0
  await waitFor(opened + 3 * SPARE_TUNNELS) // more than there is room for: of those that count by age none would be left
  expect(told).toEqual([])
})
