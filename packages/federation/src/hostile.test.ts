import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { curveKeyPair, Dealer } from 'zeromq'
import { createIdentity, loadIdentity } from './identity.js'
import { formatInvite, type Invite, inviteAddress, parseInvite } from './invite.js'
import { verifyLedger } from './ledger.js'
import { describeFake, Loopback, randomModel, undisturbedRun, until } from './loopback.fixture.js'
import { type Header, PROTOCOL_VERSION } from './messages.js'
import { admitRawSite, copyOf, RawSite } from './raw-site.fixture.js'
import { encodeZ85 } from './z85.js'
import { openRouter } from './zeromq-router.js'

let hash: string
let loopback: Loopback
const raws: RawSite[] = []

beforeAll(async () => {
  hash = (await undisturbedRun()).parametersSha256
})

afterEach(async () => {
  await Promise.all(raws.splice(0).map((raw) => raw.close()))
  await loopback?.close()
})

async function withRawSite(): Promise<{ raw: RawSite; invite: Invite }> {
  loopback = new Loopback(2)
  const { raw, invite } = await admitRawSite(loopback)
  raws.push(raw)
  return { raw, invite }
}

test('spoiled results are refused by name, and the run ends as if they had never been sent', async () => {
  const { raw } = await withRawSite()
  const first = loopback.join('site-1')
  await until(() => raw.of('TASK').length > 0)
  const task = raw.of('TASK')[0]!
  const good = randomModel('good')
  const refusals: [RegExp, () => void][] = [
    [
      /a body of 596 bytes, the model has 600/,
      () => {
        const { header, bodies } = raw.result(task, good, 3)
        raw.send(header, [bodies[0]!.subarray(4), bodies[1]!])
      },
    ],
    [
      /float 7 is NaN/,
      () => {
        const model = copyOf(good)
        model.parameters[7] = Number.NaN
        const { header, bodies } = raw.result(task, model, 3)
        raw.send(header, bodies)
      },
    ],
    [
      /float 149 is Infinity/,
      () => {
        const model = copyOf(good)
        model.statistics[9] = Number.POSITIVE_INFINITY
        const { header, bodies } = raw.result(task, model, 3)
        raw.send(header, bodies)
      },
    ],
    [
      /running_mean, number 0, is -19\d+: not from -1100000000000 to 1100000000000/,
      () => {
        // As the mean of a running statistic it would make a variance beyond float32.
        const model = copyOf(good)
        model.statistics[0] = -2e18
        const { header, bodies } = raw.result(task, model, 3)
        raw.send(header, bodies)
      },
    ],
    [
      /running_var, number 4, is -9\.9\d+e-7: not from 0 to/,
      () => {
        // Pooled, it would leave the other sites without a loss.
        const model = copyOf(good)
        model.statistics[9] = -1e-6
        const { header, bodies } = raw.result(task, model, 3)
        raw.send(header, bodies)
      },
    ],
    [
      /parameters, number 7, is 65537: not from -65500 to 65500/,
      () => {
        const model = copyOf(good)
        model.parameters[7] = 65537
        const { header, bodies } = raw.result(task, model, 3)
        raw.send(header, bodies)
      },
    ],
    [
      /a message of site-2 was refused: the signature is wrong/,
      () => {
        const { header, bodies } = raw.result(task, good, 3)
        const frames = raw.sign(header, bodies)
        frames[1]![0]! ^= 1
        raw.sendRaw(frames)
      },
    ],
    [
      /the update’s signature is wrong/,
      () => {
        const { header, bodies } = raw.result(task, good, 3)
        raw.send({ ...header, samples: 1000 }, bodies)
      },
    ],
    [
      /it was trained from another model/,
      () => {
        const { header, bodies } = raw.result({ ...task, base: '2'.repeat(64) }, good, 3)
        raw.send(header, bodies)
      },
    ],
    [
      /round 1 is in progress/,
      () => {
        const { header, bodies } = raw.result({ ...task, round: 3 }, good, 3)
        raw.send(header, bodies)
      },
    ],
    [
      /it has no training volumes/,
      () => {
        const { header, bodies } = raw.result(task, good, 0)
        raw.send(header, bodies)
      },
    ],
    [/a message of type TASK is not due here/, () => raw.send(task, [new Uint8Array(600)])],
    [/the header is not JSON/, () => raw.sendRaw([Buffer.from('{'), new Uint8Array()])],
    [/a header of 5000 bytes/, () => raw.sendRaw([Buffer.alloc(5000, 0x20), new Uint8Array()])],
    [/9 frames/, () => raw.sendRaw(Array.from({ length: 9 }, () => new Uint8Array(3)))],
  ]
  for (const [words, send] of refusals) {
    send()
    await until(() => loopback.logs('warn').some((line) => words.test(line)))
  }
  // A frame beyond the limit ends the connection before it is read.
  const connections = raw.connections
  raw.sendRaw([Buffer.from('{}'), new Uint8Array(3 << 20), new Uint8Array()])
  await until(() => raw.connections > connections)
  await raw.close()
  const second = loopback.join('site-2')
  const [result] = await Promise.all([loopback.coordinator.finished, first.finished, second.finished])
  expect(result.parametersSha256).toBe(hash)
})

test.each([
  ['run', { run: '1'.repeat(64) }],
  ['site', { site: 'site-1' }],
  ['round', { round: 2 }],
  ['model that it was trained from', { base: '1'.repeat(64) }],
  ['weight', { samples: 4 }],
  ['update', { update: '1'.repeat(64) }],
])('an update that was signed for another %s is refused', async (_, claim) => {
  const { raw } = await withRawSite()
  loopback.join('site-1')
  await until(() => raw.of('TASK').length > 0)
  const { header, bodies } = raw.result(raw.of('TASK')[0]!, randomModel('good'), 3, claim)
  raw.send(header, bodies)
  await until(() => raw.of('ACK').length > 0)
  expect(raw.of('ACK')[0]).toMatchObject({ status: 'rejected', reason: 'the update’s signature is wrong' })
})

test('results that are sent over and over count once', async () => {
  const { raw } = await withRawSite()
  raw.work(3)
  loopback.join('site-1')
  const result = await loopback.coordinator.finished
  expect(result.parametersSha256).toBe(hash)
  const statuses = (round: number): string[] =>
    raw.of('ACK').flatMap((ack) => (ack.round === round && ack.purpose === 'train' ? [ack.status] : []))
  for (const round of [1, 2, 3])
    expect(statuses(round).filter((status) => status === 'accepted').length).toBeLessThanOrEqual(1) // the next task says it too
  expect(statuses(1)).toContain('stale')
  const lines = readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8').trim().split('\n')
  expect(verifyLedger(lines, loopback.coordinator.signingPublic)).toEqual({ ok: true, rounds: 3 })
})

test('a message before the login is refused by name and answered with WHO', async () => {
  const { raw, invite } = await withRawSite()
  const identity = await loadIdentity(join(loopback.siteFolder('site-2'), 'keys', 'site.json'))
  const early = new RawSite('site-2', identity, invite, { login: false })
  raws.push(early)
  await until(() => early.connections > 0)
  await until(() => {
    if (early.of('WHO').length === 0) early.send({ v: PROTOCOL_VERSION, type: 'PING', working: null })
    return early.of('WHO').length > 0
  })
  expect(loopback.logs('warn').join('\n')).toMatch(/PING before a login was refused/)
  expect(raw.of('DENY')).toEqual([])
})

test('a site that speaks another version is told so in words', async () => {
  const { raw } = await withRawSite()
  raw.sendRaw([Buffer.from(JSON.stringify({ v: 2, type: 'HELLO' })), new Uint8Array()])
  await until(() => raw.of('DENY').length > 0)
  expect(raw.of('DENY')[0]).toMatchObject({
    code: 'FEDERATION_VERSION',
    reason: expect.stringMatching(/speaks MFP\/2, the coordinator MFP\/1/),
  })
})

test('a greeting with a key that needs no secret gets no login', async () => {
  const { raw } = await withRawSite()
  const signingKey = Buffer.concat([Buffer.from([1]), Buffer.alloc(31)]).toString('base64url') // the neutral point
  const nonce = createIdentity().curvePublic.toString('base64url')
  const hello = { v: PROTOCOL_VERSION, type: 'HELLO', purpose: 'enrol', signingKey, curveKey: nonce, nonce }
  const { session } = raw
  raw.sendRaw([Buffer.from(JSON.stringify(hello)), new Uint8Array()])
  await until(() => loopback.logs('warn').some((line) => /refused: its signing key is nobody’s/.test(line)))
  expect(raw.session).toBe(session)
})

test('a greeting whose version is no word or number is denied, and the run goes on', async () => {
  const { raw } = await withRawSite()
  raw.sendRaw([Buffer.from('{"type":"HELLO","v":{"toString":0,"valueOf":0}}'), new Uint8Array()])
  await until(() => raw.of('DENY').length > 0)
  expect(raw.of('DENY')[0]!.reason).toMatch(/the site speaks MFP\/object, the coordinator MFP\/1/)
  raw.hello()
  raw.work(1)
  loopback.join('site-1')
  expect((await loopback.coordinator.finished).rounds).toBe(3)
})

test('a site whose words are all control characters is turned away in words', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const classNames = describeFake('site-1').classNames.map(() => '\u0001'.repeat(64))
  const odd = Array.from({ length: 20 }, () => '\u0001'.repeat(64))
  const describe = async () => describeFake('site-1', { classNames: [...classNames, ...odd] })
  await expect(loopback.join('site-1', { describe }).finished).rejects.toMatchObject({ code: 'FEDERATION_DENIED' })
  await Promise.all([loopback.join('site-1').finished, loopback.coordinator.finished])
})

test.each(['round', 'samples'] as const)(
  'an update whose %s was refused does not take the place of the same one that was taken',
  async (spoiled) => {
    const { raw } = await withRawSite()
    const other = loopback.join('site-1', { delayMs: 60_000 })
    await until(() => raw.of('TASK').length > 0)
    const task = raw.of('TASK')[0]!
    const update = randomModel('good')
    const wrong = spoiled === 'samples' ? raw.result(task, update, 0) : raw.result({ ...task, round: 3 }, update, 3)
    const right = raw.result(task, update, 3)
    raw.send(wrong.header, wrong.bodies)
    raw.send(right.header, right.bodies)
    await until(() => raw.of('ACK').length === 2)
    expect(raw.of('ACK').map(({ status }) => status)).toEqual(['rejected', 'accepted'])
    await raw.close()
    other.stop()
    await other.finished.catch(() => undefined)
    await loopback.coordinator.stop()
    await loopback.start()
    const sites = ['site-1', 'site-2'].map((site) => loopback.join(site))
    await Promise.all([loopback.coordinator.finished, ...sites.map(({ finished }) => finished)])
    // It was in the journal: nobody was asked for it again.
    expect(loopback.trainers.get('site-2')!.begun).toEqual([2, 3])
    expect(verifyLedger(loopback.ledgerLines(), loopback.coordinator.signingPublic)).toEqual({ ok: true, rounds: 3 })
  },
)

test('an unknown key does not get past the handshake', async () => {
  loopback = new Loopback(1)
  const coordinator = await loopback.start()
  const invite = parseInvite(coordinator.invites[0]!.invite)
  const { publicKey, secretKey } = curveKeyPair()
  const dealer = new Dealer({
    linger: 0,
    curvePublicKey: publicKey,
    curveSecretKey: secretKey,
    curveServerKey: encodeZ85(invite.curvePublic),
  })
  const refused = new Promise((resolve) => dealer.events.on('handshake:error:auth', resolve))
  dealer.connect(inviteAddress(invite))
  await refused
  dealer.close()
  await until(() =>
    loopback.logs('warn').some((line) => /from 127.0.0.1 with an unknown key was turned away/.test(line)),
  )
})

test('a coordinator whose handler lets everybody in refuses to start', async () => {
  const opening = openRouter({
    bind: 'tcp://127.0.0.1:*',
    identity: createIdentity(),
    admits: () => true,
    onMessage: () => undefined,
    onUnreachable: () => undefined,
    onRefused: () => undefined,
    onFault: () => undefined,
    maxMessageBytes: 1 << 20,
  })
  await expect(opening).rejects.toMatchObject({ code: 'ZAP_NOT_ENFORCED' })
})

test('a coordinator that is too slow to answer its own test connection tries again, and starts', async () => {
  let asked = 0
  const router = await openRouter({
    bind: 'tcp://127.0.0.1:*',
    identity: createIdentity(),
    admits: () => {
      // Longer than libzmq waits for a handshake.
      if (asked++ === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5500)
      return false
    },
    onMessage: () => undefined,
    onUnreachable: () => undefined,
    onRefused: () => undefined,
    onFault: () => undefined,
    maxMessageBytes: 1 << 20,
  })
  expect(asked).toBeGreaterThan(1)
  await router.close()
})

test.each(['curvePublic', 'signingPublic'] as const)(
  'an invite whose %s is not the coordinator’s is not trusted',
  async (key) => {
    loopback = new Loopback(1)
    const coordinator = await loopback.start()
    const invite = parseInvite(coordinator.invites[0]!.invite)
    const other = createIdentity()
    const forged = formatInvite({ ...invite, [key]: other[key] })
    const site = loopback.join('site-1', { invite: forged })
    await expect(site.finished).rejects.toMatchObject({ code: 'FEDERATION_SERVER_KEY' })
  },
)

test('an update header with keys of a newer version is read where its signature is right', async () => {
  const { raw } = await withRawSite()
  loopback.join('site-1')
  await until(() => raw.of('TASK').length > 0)
  const task = raw.of('TASK')[0]!
  const { header, bodies } = raw.result(task, randomModel('x'), 3)
  raw.send({ ...header, someday: true } as unknown as Header, bodies)
  raw.send({ v: PROTOCOL_VERSION, type: 'SOMEDAY' } as unknown as Header)
  await until(() => raw.of('TASK').some(({ purpose }) => purpose === 'evaluate')) // it was taken: the round is closed
  expect(loopback.logs('warn').filter((line) => /refused/.test(line))).toEqual([])
})
