import { connect, createServer, type Socket } from 'node:net'
import type { EventOf } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { Loopback } from './loopback.fixture.js'

let loopback: Loopback
afterEach(() => loopback?.close())

test('the bytes that are told of a site are those of its connection, and the payload is most of a large model’s', async () => {
  loopback = new Loopback(1, { rounds: 20 })
  const coordinator = await loopback.start()
  const port = Number(coordinator.endpoint.split(':').at(-1))
  const real = { up: 0, down: 0 }
  const sockets: Socket[] = []
  const relay = createServer((site) => {
    const server = connect(port, '127.0.0.1')
    sockets.push(site, server)
    for (const socket of [site, server]) socket.on('error', () => undefined)
    site.on('data', (data) => {
      real.up += data.length
      server.write(data)
    })
    server.on('data', (data) => {
      real.down += data.length
      site.write(data)
    })
    site.on('close', () => server.destroy())
    server.on('close', () => site.destroy())
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => relay.once('listening', resolve))
  const { port: relayed } = relay.address() as { port: number }
  await loopback.join('site-1', { address: `tcp://127.0.0.1:${relayed}` }).finished
  await coordinator.finished
  for (const socket of sockets) socket.destroy()
  relay.close()
  const told = loopback.events.filter((event): event is EventOf<'traffic'> => event.type === 'traffic').at(-1)!
  // Not counted: two handshakes (some 700 bytes each way), and the two logins, in which the study is sent.
  expect(real.up - told.bytesReceived).toBeGreaterThan(500)
  expect(real.up - told.bytesReceived).toBeLessThan(8000)
  expect(real.down - told.bytesSent).toBeGreaterThan(500)
  expect(real.down - told.bytesSent).toBeLessThan(16_000)
  // 20 updates of 150 floats and their scores; a task each, of which every second one carries the model.
  expect(told.payloadReceived).toBeGreaterThanOrEqual(20 * 600)
  expect(told.payloadSent).toBeGreaterThanOrEqual(20 * 600)
  expect(told.payloadReceived).toBeLessThan(told.bytesReceived)
  const rounds = loopback.events.flatMap((event) =>
    event.type === 'traffic' && event.round !== undefined ? [event.round] : [],
  )
  // The last one again at the end of the run, with what the end took.
  expect(rounds).toEqual([...Array.from({ length: 20 }, (_, i) => i + 1), 20])
})
