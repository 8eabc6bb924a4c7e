import { readdirSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { createIdentity } from './identity.js'
import { IoBarrier } from './io-barrier.js'
import type { RouterTransport } from './transport.js'
import { openDealer } from './zeromq-dealer.js'
import { openRouter } from './zeromq-router.js'

const COORDINATORS = 12

const open = (
  admits: (key: Buffer) => boolean,
  identity = createIdentity(),
  onFault: (error: unknown) => void = () => undefined,
): Promise<RouterTransport> =>
  openRouter({
    ...{ bind: 'tcp://127.0.0.1:*', identity, admits, maxMessageBytes: 1000 },
    onMessage: () => undefined,
    onUnreachable: () => undefined,
    onRefused: () => undefined,
    onFault,
  })

test.skipIf(process.platform !== 'linux')(
  'one coordinator after the other takes no more open files and threads than the first, and each has its own list of keys',
  async () => {
    const count = (): number => readdirSync('/proc/self/fd').length + readdirSync('/proc/self/task').length
    let first: number | undefined
    for (let n = 0; n < COORDINATORS; n++) {
      const [identity, site] = [createIdentity(), createIdentity()]
      const router = await open((key) => key.equals(site.curvePublic), identity)
      await new Promise<void>((onConnected) => {
        const dealer = openDealer({
          ...{ address: router.endpoint, serverPublic: identity.curvePublic, curve: site, maxMessageBytes: 1000 },
          onConnected: () => void dealer.close().then(onConnected),
          onDisconnected: () => undefined,
          onMessage: () => undefined,
          onUnsent: () => undefined,
          onRefused: () => undefined,
          onHandshakeFailed: () => undefined,
        })
      })
      await router.close()
      first ??= count()
    }
    // A context of its own for each would be five files and two threads each.
    expect(count()).toBeLessThan(first! + 3 * COORDINATORS)
  },
)

test('two coordinators at once in one process do not answer for each other', async () => {
  const [a, b] = await Promise.all([open(() => false), open(() => false)])
  expect(a.endpoint).not.toBe(b.endpoint)
  await Promise.all([a.close(), b.close()])
})

test('a connection that could not be answered is told, dials again and comes in', async () => {
  const [identity, site] = [createIdentity(), createIdentity()]
  const faults: unknown[] = []
  const admitting = await open(
    (key) => key.equals(site.curvePublic),
    identity,
    (error) => faults.push(error),
  )
  const fault = new Error('the barrier broke')
  const pass = vi.spyOn(IoBarrier.prototype, 'pass').mockRejectedValueOnce(fault)
  await new Promise<void>((onConnected) => {
    const dealer = openDealer({
      ...{ address: admitting.endpoint, serverPublic: identity.curvePublic, curve: site, maxMessageBytes: 1000 },
      onConnected: () => void dealer.close().then(onConnected),
      onDisconnected: () => undefined,
      onMessage: () => undefined,
      onUnsent: () => undefined,
      onRefused: () => undefined,
      onHandshakeFailed: () => undefined,
    })
  })
  pass.mockRestore()
  expect(faults).toEqual([fault])
  await admitting.close()
})
