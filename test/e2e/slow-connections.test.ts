import { readdirSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import path from 'node:path'
import { StudySchema, studySha256 } from '@meshfl/core'
import { initializeModel, modelLayout } from '@meshfl/engine'
import { createTinyTrainer, describeTinySite, joinFederation, parseInvite, startCoordinator } from '@meshfl/federation'
import { afterEach, expect, test } from 'vitest'
import { enrolmentKeys, inviteAddress } from '../../packages/federation/src/invite.js'
import type { DealerTransport } from '../../packages/federation/src/transport.js'
import { openDealer } from '../../packages/federation/src/zeromq-dealer.js'
import { temporaryFolder } from './cli.js'
import { TINY_MODEL } from './killed-federation.js'

const SITES = ['site-1', 'site-22']
const TIMING = { heartbeatMs: 200, heartbeatTimeoutMs: 1000 }
const STRANGERS = 300
const SLOW_PEERS = 30

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Attacked {
  port: number
  invite: string
}

/** A federation of two sites, and whoever holds its third invite. It ends when the attack has. */
async function federate(attack: (coordinator: Attacked) => Promise<void>): Promise<string> {
  const folder = temporaryFolder('slow')
  const study = StudySchema.parse({ rounds: 4, model: TINY_MODEL, federation: { minSites: 2 } })
  const stop = new AbortController()
  const coordinator = await startCoordinator(
    {
      ...{ folder: path.join(folder, 'run'), bind: 'tcp://127.0.0.1:*', sites: 3 },
      ...{ study, studySha256: studySha256(study), layout: modelLayout(study.model) },
      initialModel: initializeModel(study.model, study.seed),
      approve: async () => true,
      events: () => undefined,
      signal: stop.signal,
    },
    { timing: TIMING },
  )
  closing.push(() => coordinator.stop())
  const invites = coordinator.invites.map(({ invite }) => invite)
  let isOver = false
  const attacked = attack({ port: parseInvite(invites[0]!).port, invite: invites[2]! }).finally(() => {
    isOver = true
  })
  const sites = SITES.map((site, i) => {
    const trainer = createTinyTrainer(site, { delayMs: 20 })
    const joined = joinFederation(
      {
        ...{ invite: invites[i]!, folder: path.join(folder, site), signal: stop.signal },
        describe: async () => describeTinySite(site),
        createTrainer: async () => ({
          ...trainer,
          async train(task) {
            // The last round ends after the attack: there is a run all through it.
            while (task.round === 4 && !isOver) await new Promise((resolve) => setTimeout(resolve, 20))
            return trainer.train(task)
          },
        }),
        events: () => undefined,
      },
      { timing: TIMING },
    )
    joined.catch(() => undefined)
    return joined
  })
  const [result] = await Promise.all([coordinator.finished, attacked, ...sites])
  return result.parametersSha256
}

const openFiles = (): number => readdirSync('/proc/self/fd').length
const isLinux = process.platform === 'linux'

test('hundreds of connections that never finish saying who they are end in the time of a handshake, and their files are given back', async () => {
  const expected = await federate(async () => undefined)
  const before = isLinux ? openFiles() : 0
  const found = await federate(async ({ port }) => {
    // The beginning of a greeting, a byte a second: all 64 of it would take longer than the test may.
    const begin = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1]
    const ends = Array.from({ length: STRANGERS }, (_, i) => {
      const socket = connect(port, '127.0.0.1')
      closing.push(() => socket.destroy())
      socket.resume()
      socket.on('error', () => undefined)
      let said = 0
      const timer = setInterval(() => socket.write(Buffer.from([begin[said++] ?? 0])), 900 + i)
      return new Promise<void>((resolve) => {
        socket.once('close', () => {
          clearInterval(timer)
          resolve()
        })
      })
    })
    await Promise.all(ends)
  })
  expect(found).toBe(expected)
  if (isLinux) expect(openFiles()).toBeLessThan(before + STRANGERS / 10)
})

/** A line that lets a byte through now and then, from when it is told to. */
class DrippingLine {
  isDripping = false
  /** Connections that the coordinator ended while they dripped. */
  ended = 0
  readonly #server: Server
  readonly #sockets: Socket[] = []

  constructor(target: number) {
    this.#server = createServer((from) => {
      const to = connect(target, '127.0.0.1')
      let kept = Buffer.alloc(0)
      from.on('data', (data) => {
        if (this.isDripping) kept = Buffer.concat([kept, data])
        else to.write(data)
      })
      to.pipe(from)
      const timer = setInterval(() => {
        if (kept.length > 0) to.write(kept.subarray(0, 1))
        kept = kept.subarray(1)
      }, 50)
      to.once('close', () => {
        clearInterval(timer)
        if (this.isDripping) this.ended += 1
        from.destroy()
      })
      for (const socket of [from, to]) {
        this.#sockets.push(socket)
        socket.on('error', () => undefined)
      }
    })
  }

  async open(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return (this.#server.address() as { port: number }).port
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

test('connections that were let in and then say a message byte by byte end in the time of a heartbeat', async () => {
  const expected = await federate(async () => undefined)
  const found = await federate(async ({ port, invite: text }) => {
    const line = new DrippingLine(port)
    closing.push(() => line.close())
    const invite = { ...parseInvite(text), port: await line.open() }
    const dealers: DealerTransport[] = []
    await new Promise<void>((resolve) => {
      let connected = 0
      for (let i = 0; i < SLOW_PEERS; i++) {
        const ignore = (): void => undefined
        const dealer = openDealer({
          ...{ address: inviteAddress(invite), serverPublic: invite.curvePublic, curve: enrolmentKeys(invite.secret) },
          maxMessageBytes: 1 << 20,
          onConnected: () => ++connected === SLOW_PEERS && resolve(),
          ...{
            onDisconnected: ignore,
            onMessage: ignore,
            onUnsent: ignore,
            onRefused: ignore,
            onHandshakeFailed: ignore,
          },
        })
        dealers.push(dealer)
        closing.push(() => dealer.close())
      }
    })
    line.isDripping = true
    for (const dealer of dealers) dealer.send([Buffer.from('{}'), new Uint8Array(500_000), new Uint8Array()])
    while (line.ended < SLOW_PEERS) await new Promise((resolve) => setTimeout(resolve, 20))
  })
  expect(found).toBe(expected)
})
