import { chmodSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MeshflError, sha256, studySha256 } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { administerSites } from './administer-sites.js'
import { Admissions } from './admissions.js'
import { Gate } from './gate.js'
import { createIdentity, loadIdentity } from './identity.js'
import { formatInvite } from './invite.js'
import { describeFake, isState, LAYOUT, Loopback, randomModel, TINY_OPTIMIZER, until } from './loopback.fixture.js'
import { type Header, PROTOCOL_VERSION } from './messages.js'
import { admitRawSite, approveAndStop, openRawSite, type RawSite } from './raw-site.fixture.js'
import { openRouter } from './zeromq-router.js'

let loopback: Loopback
const raws: RawSite[] = []
afterEach(async () => {
  await Promise.all(raws.splice(0).map((raw) => raw.close()))
  await loopback?.close()
})

async function withTask(): Promise<{ raw: RawSite; task: Header<'TASK'> }> {
  loopback = new Loopback(2)
  const { raw } = await admitRawSite(loopback)
  raws.push(raw)
  loopback.join('site-1')
  await until(() => raw.of('TASK').length > 0)
  return { raw, task: raw.of('TASK')[0]! }
}

test('a site weighs no more than it was admitted with', async () => {
  const { raw, task } = await withTask()
  const { header, bodies } = raw.result(task, randomModel('heavy'), 4_000_000_000)
  raw.send(header, bodies)
  await until(() => raw.of('ACK').length > 0)
  expect(raw.of('ACK')[0]).toMatchObject({
    status: 'rejected',
    reason: 'it counts 4000000000 training volumes, the site was admitted with 20',
  })
})

test('a site whose update is refused holds up no round that others are enough for', async () => {
  loopback = new Loopback(2)
  await loopback.start({ minSites: 1 })
  await approveAndStop(loopback, 'site-2')
  loopback.coordinator.pause()
  const raw = await openRawSite(loopback, 'site-2')
  raws.push(raw)
  raw.onTask = (task) => {
    if (task.purpose === 'evaluate') return
    const { header, bodies } = raw.result(task, randomModel('heavy'), 4_000_000_000)
    raw.send(header, bodies)
  }
  loopback.coordinator.resume()
  const other = loopback.join('site-1')
  await until(() => loopback.ledgerLines().length === 1)
  expect(loopback.ledgerLines().map((line) => JSON.parse(line).leftOut)).toEqual([
    [{ site: 'site-2', reason: 'refused' }],
  ])
  await raw.close()
  await Promise.all([loopback.coordinator.finished, other.finished])
})

test.each([
  [1, 4, 'it counts 4 training volumes, the site was admitted with 1'],
  [20, 5, 'it counts 5 training volumes, a batch has 4'],
])(
  'with a step an exchange a site of %i volumes that counts %i in a batch of four is refused',
  async (trainCases, samples, reason) => {
    loopback = new Loopback(2, { recipe: { batchSize: 4 }, federation: { sync: 'step' } })
    await loopback.start({ stepOptimizer: TINY_OPTIMIZER })
    const describe = async () => describeFake('site-2', { trainCases })
    await approveAndStop(loopback, 'site-2', { describe })
    const raw = await openRawSite(loopback, 'site-2', {
      header: { v: PROTOCOL_VERSION, type: 'JOIN', working: null },
      body: await describe(),
    })
    raws.push(raw)
    loopback.join('site-1')
    await until(() => raw.of('TASK').length > 0)
    const { header, bodies } = raw.result(raw.of('TASK')[0]!, randomModel('heavy'), samples, { voxels: 1000 })
    const metrics = { ...JSON.parse(Buffer.from(bodies[1]!).toString()), voxels: 1000 }
    raw.send({ ...header, voxels: 1000 }, [bodies[0]!, Buffer.from(JSON.stringify(metrics))])
    await until(() => raw.of('ACK').length > 0)
    expect(raw.of('ACK')[0]).toMatchObject({ status: 'rejected', reason })
  },
)

test.each([
  [undefined, 'its voxels are not signed: the site needs the coordinator’s version of meshfl'],
  [900, 'it counts 1000 voxels and signs 900'],
])('with a step an exchange an update that counts 1000 voxels and signs %s is refused', async (voxels, reason) => {
  loopback = new Loopback(2, { recipe: { batchSize: 4 }, federation: { sync: 'step' } })
  await loopback.start({ stepOptimizer: TINY_OPTIMIZER })
  await approveAndStop(loopback, 'site-2')
  const raw = await openRawSite(loopback, 'site-2')
  raws.push(raw)
  loopback.join('site-1')
  await until(() => raw.of('TASK').length > 0)
  const signed = voxels === undefined ? {} : { voxels }
  const { header, bodies } = raw.result(raw.of('TASK')[0]!, randomModel('step'), 1, signed)
  const metrics = { ...JSON.parse(Buffer.from(bodies[1]!).toString()), voxels: 1000 }
  raw.send({ ...header, ...signed }, [bodies[0]!, Buffer.from(JSON.stringify(metrics))])
  await until(() => raw.of('ACK').length > 0)
  expect(raw.of('ACK')[0]).toMatchObject({ status: 'rejected', reason })
})

test.each([
  ['classes that the study does not have', { perClass: { '\u001b[2Jbrain': 1 }, foregroundDice: 0.5 }],
  ['a Dice above one', { perClass: { 'white matter': 0.5 }, foregroundDice: 1e300 }],
])('scores of %s are refused', async (_, dice) => {
  const { raw, task } = await withTask()
  const { header, bodies } = raw.result(task, randomModel('odd'), 3)
  raw.send(header, [bodies[0]!, Buffer.from(JSON.stringify({ loss: 1, dice, seconds: 1 }))])
  await until(() => raw.of('ACK').length > 0)
  expect(raw.of('ACK')[0]!.status).toBe('rejected')
})

test.each([
  ['it counts 2 cases of a class, and 1 in all', { 'white matter': 2 }],
  ['it counts cases of classes that the study does not have', { brain: 1 }],
])('scores are refused where %s', async (reason, casesPerClass) => {
  const { raw, task } = await withTask()
  const { header, bodies } = raw.result(task, randomModel('fine'), 3)
  raw.send(header, bodies)
  await until(() => raw.of('TASK').some(({ purpose }) => purpose === 'evaluate'))
  const { round, base } = raw.of('TASK').find(({ purpose }) => purpose === 'evaluate')!
  const scores = { loss: 1, dice: { perClass: { 'white matter': 0.5 }, foregroundDice: 0.5 }, casesPerClass }
  const evaluation = { v: PROTOCOL_VERSION, type: 'RESULT', purpose: 'evaluate', round, base, samples: 1 } as const
  raw.send(evaluation, [new Uint8Array(), Buffer.from(JSON.stringify(scores))])
  await until(() => raw.of('ACK').some(({ purpose }) => purpose === 'evaluate'))
  expect(raw.of('ACK').find(({ purpose }) => purpose === 'evaluate')).toMatchObject({ status: 'rejected', reason })
})

test('a flood of messages, each with words of its own, fills no log', async () => {
  loopback = new Loopback(2)
  const { raw } = await admitRawSite(loopback)
  raws.push(raw)
  for (let i = 0; i < 300; i++)
    raw.send({ v: PROTOCOL_VERSION, type: `FLOOD${i}`, x: i } as unknown as Header, [new Uint8Array()])
  for (let i = 0; i < 300; i++) raw.sendRaw([Buffer.alloc(5000 + i, 0x20), new Uint8Array()])
  raw.send({ v: PROTOCOL_VERSION, type: 'BYE', reason: 'x' })
  await until(() =>
    loopback.events.some((event) => event.type === 'site-state' && event.state === 'left' && event.reason === 'x'),
  )
  expect(loopback.logs('warn').length).toBeLessThan(60)
})

test('an update that is refused again and again fills no log, and each is answered', async () => {
  const { raw, task } = await withTask()
  for (let i = 0; i < 300; i++) {
    const ahead = { ...task, round: task.round + 1 + (i < 150 ? 1 : i) }
    const { header, bodies } = raw.result(ahead, randomModel('ahead'), 3)
    raw.send(header, bodies)
  }
  await until(() => raw.of('ACK').length >= 300)
  expect(new Set(raw.of('ACK').map(({ status }) => status))).toEqual(new Set(['rejected']))
  const refused = loopback.logs('warn').filter((line) => /its update of round/.test(line))
  expect(refused[0]).toMatch(/its update of round 3 is refused: round 1 is in progress/)
  expect(refused.length).toBeLessThan(60)
})

test('a site that fails and logs in again without end has each login, and fills no log', async () => {
  loopback = new Loopback(2)
  const { raw } = await admitRawSite(loopback)
  raws.push(raw)
  const before = loopback.events.length
  const begun = performance.now()
  for (let i = 0; i < 200; i++) {
    const admitted = raw.of('ADMIT').length
    const message = `${i} `.padEnd(1000, '\u{1f480}')
    raw.send({ v: PROTOCOL_VERSION, type: 'ERROR', phase: 'x', message }, [Buffer.from(`stack ${i}`)])
    // Both come in one turn: what follows from the error is of the login before, and must not end the new one.
    raw.hello()
    await until(() => raw.of('ADMIT').length > admitted, 20_000)
  }
  const told = loopback.events.slice(before)
  const states = told.flatMap((event) => (event.type === 'site-state' && event.site === 'site-2' ? [event] : []))
  const failures = states.filter(({ state }) => state === 'failed')
  expect(loopback.logs('error')[1]).toMatch(/^site-2: x: 0 \u{1f480}+$/u)
  expect([...failures[0]!.reason!]).toHaveLength(200)
  expect(Buffer.from(failures[0]!.reason!).toString()).toBe(failures[0]!.reason) // no letter is cut in two
  // So many in every 5 s, of 600 and 400.
  const windows = 1 + Math.ceil((performance.now() - begun) / 5000)
  expect(states.length).toBeLessThanOrEqual(60 * windows)
  expect(loopback.logs('error').length).toBeLessThanOrEqual(43 * windows)
})

test('a coordinator that shows a site the run of another does not get its login', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const identity = createIdentity()
  const admissions = Admissions.open(join(loopback.folder, 'other'))
  await admissions.ensureInvites(1, new Date(), 60)
  const messages: string[] = []
  let gate: Gate | undefined
  const router = await openRouter({
    bind: 'tcp://127.0.0.1:*',
    identity,
    admits: (key) => admissions.admits(key, new Date()),
    onMessage: (peer, frames) => {
      messages.push(JSON.parse(Buffer.from(frames[0]!).toString()).type)
      gate!.receive(peer, frames)
    },
    onUnreachable: () => undefined,
    onRefused: () => undefined,
    onFault: () => undefined,
    maxMessageBytes: 1 << 20,
  })
  gate = new Gate({
    identity,
    admissions,
    run: sha256('the run of another coordinator'),
    study: loopback.study,
    studySha256: studySha256(loopback.study),
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
  const [invite] = admissions.unusedInvites(new Date())
  const port = Number(router.endpoint.split(':').at(-1))
  const { secret } = invite!
  const words = formatInvite({ host: '127.0.0.1', port, ...identity, secret })
  const site = loopback.join('site-1', { invite: words })
  await expect(site.finished).rejects.toMatchObject({ code: 'FEDERATION_SERVER_KEY' })
  expect(messages).not.toContain('AUTH')
  await router.close()
})

test('what a site holds of its own training is readable by its owner only, and so is what the coordinator holds of a site’s', async () => {
  loopback = new Loopback(2, { rounds: 1 })
  const coordinator = await loopback.start({}, { at: (point) => point === 'before commit' && void coordinator.stop() })
  const site = loopback.join('site-1')
  loopback.join('site-2', { delayMs: 300 })
  await coordinator.finished.catch(() => undefined)
  await coordinator.stop()
  for (const path of ['run/state/log.a', 'site-1/state/round.a'])
    expect(statSync(join(loopback.folder, path)).mode & 0o777).toBe(0o600)
  await loopback.start()
  await site.finished
})

test.each([
  new MeshflError('TRAINING_DIVERGED', 'the loss of Miller_John_1961 is NaN'),
  Object.assign(new Error("ENOENT: no such file or directory, open '/data/Miller John 1961.nii'"), {
    code: 'ENOENT',
    syscall: 'open',
  }),
  new RangeError('cannot read /data/Miller_John_1961.nii: too short'),
])('an error at a site names no file and no case to the coordinator', async (error) => {
  loopback = new Loopback(1)
  await loopback.start()
  const site = loopback.join('site-1', {
    createTrainer: async () => {
      throw error
    },
  })
  await expect(site.finished).rejects.toBe(error)
  await until(() => loopback.logs('error').length > 0)
  expect(JSON.stringify(loopback.events)).not.toMatch(/Miller|1961|\/data/)
  expect(loopback.logs('error')[0]).toMatch(/TRAINING_DIVERGED|ENOENT|RangeError/)
})

test('a key file that a backup left readable for others is closed again', async () => {
  loopback = new Loopback(1)
  const path = join(loopback.folder, 'keys', 'site.json')
  const identity = await loadIdentity(path)
  chmodSync(path, 0o644)
  expect((await loadIdentity(path)).signingPublic).toEqual(identity.signingPublic)
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('an invite that expired long ago does not even open a connection', async () => {
  loopback = new Loopback(1)
  const admissions = Admissions.open(loopback.folder)
  const now = Date.parse('2030-01-01T00:00:00Z')
  await admissions.ensureInvites(1, new Date(now), 3600)
  const { keys } = admissions.unusedInvites(new Date(now))[0]!
  const hour = 3_600_000
  expect(admissions.admits(keys.curvePublic, new Date(now))).toBe(true)
  expect(admissions.admits(keys.curvePublic, new Date(now + 2 * hour))).toBe(true) // to be told so in words
  expect(admissions.admits(keys.curvePublic, new Date(now + 26 * hour))).toBe(false)
})

test('a second key that comes with an invite while its owner is being asked about is turned away', async () => {
  loopback = new Loopback(1)
  let asked = 0
  let decide: (verdict: boolean) => void = () => undefined
  await loopback.start({
    approve: () => {
      asked += 1
      return new Promise((resolve) => {
        decide = resolve
      })
    },
  })
  const first = loopback.join('site-1')
  await until(() => asked === 1)
  loopback.invites.set('site-2', loopback.invites.get('site-1')!)
  await expect(loopback.join('site-2').finished).rejects.toMatchObject({ code: 'INVITE_USED' })
  expect(asked).toBe(1)
  decide(true)
  await first.finished
})

test('keys that were revoked do not come again, whatever the invite', async () => {
  loopback = new Loopback(2)
  await loopback.start({ minSites: 1 })
  const site = loopback.join('site-1')
  await until(() => loopback.events.some(isState('site-1', 'online')))
  loopback.coordinator.pause()
  site.stop()
  await site.finished.catch(() => undefined)
  await administerSites(loopback.run, { action: 'revoke', site: 'site-1' })
  // The same keys, in a folder that knows of no membership.
  rmSync(join(loopback.siteFolder('site-1'), 'keys', 'membership.json'))
  const { invites } = await administerSites(loopback.run, { action: 'invite', count: 1, expiresSeconds: 3600 })
  loopback.invites.set('site-1', invites[0]!.invite)
  await expect(loopback.join('site-1').finished).rejects.toMatchObject({ code: 'SITE_REVOKED' })
})

test('a site whose invite is replaced before it says who it is is told so, and the run goes on', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const site = loopback.join('site-1', { delayMs: 60_000 })
  await until(() => loopback.events.some(isState('site-1', 'online')))
  const rotate = { action: 'rotate', site: 'site-1', expiresSeconds: 3600 } as const
  const first = await administerSites(loopback.run, rotate)
  await expect(site.finished).rejects.toMatchObject({ code: 'SITE_KEYS_REPLACED' })
  loopback.invites.set('site-1', first.invites[0]!.invite)
  let isDescribing = false
  let describe!: () => void
  const isAsked = new Promise<void>((resolve) => {
    describe = resolve
  })
  const late = loopback.join('site-1', {
    async describe() {
      isDescribing = true
      await isAsked
      return describeFake('site-1')
    },
  })
  await until(() => isDescribing)
  const second = await administerSites(loopback.run, rotate)
  describe()
  await expect(late.finished).rejects.toMatchObject({ code: 'INVITE_USED' })
  loopback.invites.set('site-1', second.invites[0]!.invite)
  await Promise.all([loopback.join('site-1').finished, loopback.coordinator.finished])
})

test('scores that no classes of the study could take are refused unread', async () => {
  const { raw, task } = await withTask()
  const { header, bodies } = raw.result(task, randomModel('odd'), 3)
  const perClass = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`class ${i}`, 'x']))
  const scores = { loss: 1, dice: { perClass, foregroundDice: 1 }, seconds: 1 }
  raw.send(header, [bodies[0]!, Buffer.from(JSON.stringify(scores))])
  await until(() => raw.of('ACK').length > 0)
  expect(raw.of('ACK')[0]!.reason).toMatch(/^scores of \d+ bytes, more than \d+$/)
})

test('a site whose dataset has grown since it was admitted is told so when it logs in', async () => {
  loopback = new Loopback(2)
  const { raw } = await admitRawSite(loopback)
  raws.push(raw)
  await raw.close()
  const site = loopback.join('site-2', { describe: async () => describeFake('site-2', { trainCases: 21 }) })
  await expect(site.finished).rejects.toMatchObject({
    code: 'FEDERATION_DENIED',
    message: expect.stringMatching(/site-2 has 21 training and 2 validation cases, it was admitted with 20 and 2/),
  })
})

test('names that one file system could take for the same are not both admitted', async () => {
  loopback = new Loopback(2)
  const { raw } = await admitRawSite(loopback)
  raws.push(raw)
  const site = loopback.join('SITE-2', { describe: async () => describeFake('SITE-2') })
  await expect(site.finished).rejects.toMatchObject({ code: 'FEDERATION_DENIED' })
})
