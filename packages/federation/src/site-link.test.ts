import { join } from 'node:path'
import { studySha256 } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { Admissions } from './admissions.js'
import { Gate } from './gate.js'
import { createIdentity, runName } from './identity.js'
import { formatInvite } from './invite.js'
import { LAYOUT, Loopback, until } from './loopback.fixture.js'
import { openRouter } from './zeromq-router.js'

let loopback: Loopback
const onExit: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(onExit.splice(0).map((close) => close()))
  await loopback.close()
})

test('a site whose login has ended before it was through begins the next one at once', async () => {
  loopback = new Loopback(1)
  const identity = createIdentity()
  const admissions = Admissions.open(join(loopback.folder, 'other'))
  await admissions.ensureInvites(1, new Date(), 60)
  const study = studySha256(loopback.study)
  const heard: { type: string; at: number }[] = []
  let gate: Gate | undefined
  const router = await openRouter({
    bind: 'tcp://127.0.0.1:*',
    identity,
    admits: (key) => admissions.admits(key, new Date()),
    onMessage: (peer, frames) => {
      const { type } = JSON.parse(Buffer.from(frames[0]!).toString())
      heard.push({ type, at: performance.now() })
      if (type === 'AUTH' && heard.length === 2) gate!.drop(gate!.loginOf(peer)!)
      gate!.receive(peer, frames)
    },
    onUnreachable: () => undefined,
    onRefused: () => undefined,
    onFault: () => undefined,
    maxMessageBytes: 1 << 20,
  })
  onExit.push(() => router.close())
  gate = new Gate({
    identity,
    admissions,
    run: runName(study, identity.signingPublic),
    study: loopback.study,
    studySha256: study,
    layout: LAYOUT,
    approve: async () => true,
    send: (peer, frames) => router.send(peer, frames),
    track: (writing) => writing,
    onJoined: () => undefined,
    onMessage: () => undefined,
    onClosed: () => undefined,
    onTwice: () => undefined,
    onEngineChanged: () => undefined,
    onRefused: () => undefined,
    onFailed: () => undefined,
  })
  const port = Number(router.endpoint.split(':').at(-1))
  const { secret } = admissions.unusedInvites(new Date())[0]!
  const site = loopback.join('site-1', { invite: formatInvite({ host: '127.0.0.1', port, ...identity, secret }) })
  await until(() => heard.length >= 4)
  site.stop()
  expect(heard.slice(0, 4).map(({ type }) => type)).toEqual(['HELLO', 'AUTH', 'HELLO', 'AUTH'])
  // A login that gets no answer begins again after 2 s.
  expect(heard[2]!.at - heard[1]!.at).toBeLessThan(1900)
})
