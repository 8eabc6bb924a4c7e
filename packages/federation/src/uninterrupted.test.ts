import { Session } from 'node:inspector/promises'
import { expect, test } from 'vitest'
import { createIdentity } from './identity.js'
import { openDealer } from './zeromq-dealer.js'
import { openRouter } from './zeromq-router.js'

const CONNECTIONS = 600
const AT_ONCE = 50

test('sites connect while thousands of signals a second interrupt what they call', async () => {
  const [identity, site] = [createIdentity(), createIdentity()]
  const router = await openRouter({
    bind: 'tcp://127.0.0.1:*',
    identity,
    admits: (key) => key.equals(site.curvePublic),
    onMessage: () => undefined,
    onUnreachable: () => undefined,
    onRefused: () => undefined,
    onFault: () => undefined,
    maxMessageBytes: 1000,
  })
  const connect = async (): Promise<void> => {
    let dealer: ReturnType<typeof openDealer> | undefined
    await new Promise<void>((onConnected) => {
      dealer = openDealer({
        address: router.endpoint,
        serverPublic: identity.curvePublic,
        curve: site,
        maxMessageBytes: 1000,
        onConnected,
        onDisconnected: () => undefined,
        onMessage: () => undefined,
        onUnsent: () => undefined,
        onRefused: () => undefined,
        onHandshakeFailed: () => undefined,
      })
    })
    await dealer!.close()
  }
  const signals = new Session() // a profiler interrupts the thread that it looks at, once a sample
  signals.connect()
  await signals.post('Profiler.enable')
  await signals.post('Profiler.setSamplingInterval', { interval: 50 })
  await signals.post('Profiler.start')
  try {
    let connected = 0
    while (connected < CONNECTIONS) {
      await Promise.all(Array.from({ length: AT_ONCE }, connect))
      connected += AT_ONCE
    }
    expect(connected).toBe(CONNECTIONS)
  } finally {
    signals.disconnect()
    await router.close()
  }
}, 60_000)
