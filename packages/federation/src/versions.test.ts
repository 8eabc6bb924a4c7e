import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { canonicalJson, type MeshflEvent, modelSha256, type Study, sha256 } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { encodeJsonBody, encodeModelBody, encodeSigned, transcriptHash } from './frame.js'
import { createIdentity, loadIdentity, runName } from './identity.js'
import { enrolmentKeys, formatInvite, parseInvite } from './invite.js'
import { LAYOUT, Loopback, randomModel, until } from './loopback.fixture.js'
import type { Header } from './messages.js'
import { admitRawSite, approveAndStop, openRawSite, RawSite } from './raw-site.fixture.js'
import type { RouterTransport } from './transport.js'
import { openRouter } from './zeromq-router.js'

/** A coordinator of another version: its headers have more keys, it says more, and its study is as the test says. */
class OtherCoordinator {
  readonly #identity = createIdentity()
  readonly #secret = randomBytes(16)
  readonly #known = new Set([enrolmentKeys(this.#secret).curvePublic.toString('hex')])
  readonly #study: unknown
  readonly #version: number
  readonly #nonce: Buffer
  readonly #logins = new Map<string, { purpose: string; transcript: Buffer }>()
  readonly heard: string[] = []
  readonly model = randomModel('initial')
  router!: RouterTransport

  constructor(study: unknown, { version = 1, nonce = randomBytes(32) }: { version?: number; nonce?: Buffer } = {}) {
    this.#study = study
    this.#version = version
    this.#nonce = nonce
  }

  async open(): Promise<string> {
    this.router = await openRouter({
      bind: 'tcp://127.0.0.1:*',
      identity: this.#identity,
      admits: (key) => this.#known.has(key.toString('hex')),
      onMessage: (peer, frames) => this.#receive(peer, frames),
      onUnreachable: () => undefined,
      onRefused: () => undefined,
      onFault: () => undefined,
      maxMessageBytes: 1 << 20,
    })
    const port = Number(this.router.endpoint.split(':').at(-1))
    return formatInvite({ host: '127.0.0.1', port, ...this.#identity, secret: this.#secret })
  }

  #receive(peer: string, frames: readonly Uint8Array[]): void {
    const header = JSON.parse(Buffer.from(frames[0]!).toString()) as Header
    const study = sha256(canonicalJson(this.#study))
    const run = runName(study, this.#identity.signingPublic)
    const base = modelSha256(this.model)
    const say = (type: string, fields: object, bodies: Uint8Array[] = []): void => {
      const said = { v: this.#version, type, ...fields, someday: { more: [1, 2] } } as unknown as Header
      const { transcript } = this.#logins.get(peer)!
      const author = { identity: this.#identity, sender: 'coordinator', session: transcript } as const
      this.router.send(peer, encodeSigned(author, said, bodies))
    }
    const task = { round: 1, base }
    if (header.type !== 'PING') this.heard.push(header.type)
    switch (header.type) {
      case 'HELLO': {
        this.#known.add(Buffer.from(header.curveKey, 'base64url').toString('hex'))
        const challenge = { nonce: this.#nonce.toString('base64url'), session: peer, run, study }
        const words = { v: this.#version, type: 'CHALLENGE', ...challenge, someday: { more: [1, 2] } }
        const transcript = transcriptHash(frames[0]!, Buffer.from(JSON.stringify(words)))
        this.#logins.set(peer, { purpose: header.purpose, transcript })
        say('CHALLENGE', challenge)
        break
      }
      case 'AUTH': {
        const { parameters, statistics } = LAYOUT
        const bodies = [encodeJsonBody(this.#study), encodeJsonBody({ parameters, statistics })]
        say('WELCOME', { run, study, layout: LAYOUT.sha256 }, bodies)
        break
      }
      case 'JOIN': {
        const reconnect = this.#logins.get(peer)!.purpose === 'enrol'
        say('ADMIT', { site: 'site-1', reconnect })
        if (reconnect) break
        say('SOMEDAY', { round: 1 })
        say('TASK', { ...task, purpose: 'train' }, [encodeModelBody(this.model)])
        break
      }
      case 'RESULT':
        say('ACK', { purpose: header.purpose, round: header.round, base, status: 'accepted' })
        say('SOMEDAY', { round: 1 })
        say('DONE', { run, rounds: 1, result: base, best: null }, [encodeModelBody(this.model), encodeJsonBody({})])
        break
    }
  }
}

let loopback: Loopback
let other: OtherCoordinator | undefined
afterEach(async () => {
  await loopback?.close()
  await other?.router.close()
  other = undefined
})

async function joinOther(study: (study: Study) => unknown, options?: { version?: number; nonce?: Buffer }) {
  loopback = new Loopback(1, { rounds: 1 })
  other = new OtherCoordinator(study(loopback.study), options)
  return loopback.join('site-1', { invite: await other.open() })
}

test('a site works with a coordinator of the next version, which says more, in more keys', async () => {
  const site = await joinOther((study) => study)
  expect((await site.finished).parametersSha256).toBe(modelSha256(other!.model))
  expect(other!.heard.filter((type) => type === 'RESULT')).toHaveLength(1)
  expect(loopback.siteEvents.get('site-1')).not.toContainEqual(expect.objectContaining({ type: 'log', level: 'warn' }))
})

test('a site works with a coordinator of the version before, whose study lacks a key that has a default now', async () => {
  const site = await joinOther((study) => {
    const { keepUpdates: _, ...federation } = study.federation
    return { ...study, federation }
  })
  expect((await site.finished).rounds).toBe(1)
})

test('a study with a key that this version does not know is refused in words, not tried for ever', async () => {
  const site = await joinOther((study) => ({ ...study, someday: true }))
  await expect(site.finished).rejects.toMatchObject({
    code: 'FEDERATION_VERSION',
    message: expect.stringMatching(/does not understand the study.*someday/s),
  })
})

test('a coordinator of another major version is named', async () => {
  const site = await joinOther((study) => study, { version: 2 })
  await expect(site.finished).rejects.toMatchObject({
    code: 'FEDERATION_VERSION',
    message: 'the coordinator speaks MFP/2, this site MFP/1',
  })
})

test('a coordinator whose nonce is no key is told nothing more', async () => {
  const site = await joinOther((study) => study, { nonce: Buffer.alloc(32) })
  const isRefusal = (event: MeshflEvent): boolean =>
    event.type === 'log' && event.message === 'a message was refused: the coordinator’s nonce is no key'
  await until(() => loopback.siteEvents.get('site-1')!.some(isRefusal))
  expect(new Set(other!.heard)).toEqual(new Set(['HELLO']))
  site.stop()
  await site.finished.catch(() => undefined)
})

/** The JOIN of a site of a4a6351, the last version that said nothing of its precision: `meshfl join` on the wasm engine. */
const RECORDED_JOIN = {
  header: JSON.parse('{"v":1,"type":"JOIN","working":null}'),
  body: JSON.parse(
    '{"site":"site-1","trainCases":2,"validCases":1,"classes":3,"classNames":["background","white matter","grey matter"],"labelMap":"gw3","voxelSizeMm":12,"conform":{"mode":"freesurfer","shape":[16,16,16]},"engine":"wasm","instructionSet":"simd128"}',
  ),
}

test('a coordinator admits a site of the version before, which computes in fp32 and does not say so', async () => {
  loopback = new Loopback(1, { rounds: 1 })
  await loopback.start()
  await approveAndStop(loopback, 'site-1', { describe: async () => ({ ...RECORDED_JOIN.body, precision: 'fp32' }) })
  const raw = await openRawSite(loopback, 'site-1', RECORDED_JOIN)
  try {
    await until(() => raw.of('TASK').length > 0)
    expect(loopback.logs('warn').filter((line) => /refused|goes on with/.test(line))).toEqual([])
  } finally {
    await raw.close()
  }
})

test('where scaffold is the strategy, a site of the version before is denied: its control variates are changes', async () => {
  loopback = new Loopback(1, { rounds: 1, federation: { strategy: 'scaffold' } })
  await loopback.start()
  await approveAndStop(loopback, 'site-1', { describe: async () => ({ ...RECORDED_JOIN.body, precision: 'fp32' }) })
  const identity = await loadIdentity(join(loopback.siteFolder('site-1'), 'keys', 'site.json'))
  const invite = parseInvite(loopback.invites.get('site-1')!)
  const raw = new RawSite('site-1', identity, invite, { joins: RECORDED_JOIN })
  try {
    await until(() => raw.of('DENY').length > 0)
    expect(raw.of('DENY')[0]).toMatchObject({
      code: 'FEDERATION_VERSION',
      reason: expect.stringMatching(/sends how its control variate changed/),
    })
    expect(raw.of('TASK')).toEqual([])
  } finally {
    await raw.close()
  }
})

test('where scaffold is the strategy, a coordinator of the version before is told from one that takes whole variates', async () => {
  const site = await joinOther((study) => ({ ...study, federation: { ...study.federation, strategy: 'scaffold' } }))
  await expect(site.finished).rejects.toMatchObject({
    code: 'FEDERATION_VERSION',
    message: expect.stringMatching(/takes how a control variate changed/),
  })
  expect(other!.heard).not.toContain('JOIN')
})

test('a coordinator works with a site of the next version, and warns of nothing', async () => {
  loopback = new Loopback(1, { rounds: 1 })
  const { raw } = await admitRawSite(loopback)
  try {
    await until(() => raw.of('TASK').length > 0)
    const task = raw.of('TASK')[0]!
    raw.send({ v: 1, type: 'SOMEDAY', round: 1 } as unknown as Header, [new Uint8Array(9)])
    const { header, bodies } = raw.result(task, randomModel('x'), 3)
    raw.send({ ...header, someday: { more: [1, 2] } } as unknown as Header, bodies)
    await until(() => raw.of('TASK').some(({ purpose }) => purpose === 'evaluate')) // the task says that it was accepted
    expect(loopback.logs('warn').filter((line) => /refused/.test(line))).toEqual([])
  } finally {
    await raw.close()
  }
})
