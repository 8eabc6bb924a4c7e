import path from 'node:path'
import { createRandom, StudySchema } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { parseInvite } from '@meshfl/federation'
import { afterEach, expect, test } from 'vitest'
import { FederationProcess } from '../../cli/src/bench-federation/spawn-process.js'
import { dialAs, idAfter } from '../../packages/federation/src/claimed-id.fixture.js'
import { createIdentity } from '../../packages/federation/src/identity.js'
import { enrolmentKeys } from '../../packages/federation/src/invite.js'
import { root, temporaryFolder } from './cli.js'
import { HostilePeer } from './fuzz/hostile-peer.js'
import { TINY_MODEL } from './killed-federation.js'

let coordinator: FederationProcess | undefined
const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each.close()
  coordinator?.kill()
})

/** What libzmq's generator begins with where nobody has seeded it, for the second of a process's sockets of this type. */
const FIRST_ID = Buffer.from('00e43c9869', 'hex')

// libzmq ends its process when it gives a connection an id that another one has claimed.
test('who claims routing ids that are still to be given does not bring the coordinator down', async () => {
  coordinator = new FederationProcess(path.join(root, 'cli/dist/federation-process.js'))
  const { ended } = coordinator
  const study = { rounds: 1, model: TINY_MODEL }
  const folder = path.join(temporaryFolder('claims'), 'run')
  coordinator.begin({ type: 'coordinator', folder, bind: 'tcp://127.0.0.1:*', study, sites: 1, tell: [] })
  const { invites } = await coordinator.waitFor('started')
  const invite = parseInvite(invites[0]!)
  const keys = enrolmentKeys(invite.secret)
  const stranger = (scope: string): Promise<HostilePeer> => {
    const peer = new HostilePeer({
      ...{ site: 'x', identity: createIdentity(), invite, isMember: false },
      ...{ layout: modelLayout(StudySchema.parse(study).model), random: createRandom(1, scope) },
    })
    open.push(peer)
    return Promise.race([
      ended.then(() => expect.unreachable('the coordinator has ended')),
      (async () => {
        while (!peer.session) {
          await new Promise((resolve) => setTimeout(resolve, 20))
          peer.behave()
        }
        return peer
      })(),
    ])
  }
  const { session } = await stranger('first')
  expect(session).toHaveLength(8) // ours, not libzmq's own of 5 bytes
  const claims = [FIRST_ID, session!].flatMap((id) => [4, 5, 6, 7, 8, 9].map((later) => idAfter(id, later)))
  const dealers = claims.map((id) => dialAs(id, invite, keys))
  open.push(...dealers)
  await Promise.all(dealers.map((dealer) => new Promise((resolve) => dealer.events.on('handshake', resolve))))
  for (let i = 0; i < 20; i++) await stranger(`${i}`)
  expect(coordinator.child.signalCode).toBe(null)
})
