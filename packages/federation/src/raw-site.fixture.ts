import { join } from 'node:path'
import { type ModelState, modelSha256 } from '@meshfl/core'
import {
  decodeModelBody,
  decodeSigned,
  encodeJsonBody,
  encodeModelBody,
  encodeSigned,
  encodeUnsigned,
  transcriptHash,
} from './frame.js'
import { type Identity, loadIdentity } from './identity.js'
import { type Invite, inviteAddress, parseInvite } from './invite.js'
import { signUpdate, type UpdateClaim } from './ledger.js'
import { createFakeTrainer, DICE, describeFake, LAYOUT, type Loopback, until } from './loopback.fixture.js'
import { HEADERS, type Header, type MessageType, PROTOCOL_VERSION } from './messages.js'
import { Ephemeral } from './session-key.js'
import type { JoinOptions } from './site.js'
import type { DealerTransport } from './transport.js'
import { openDealer } from './zeromq-dealer.js'

const V = PROTOCOL_VERSION

/** A client with a site's true keys that says whatever a test wants. */
export class RawSite {
  /** All that it sent: for whoever listens to say it again. */
  readonly said: Uint8Array[][] = []
  /** By what the coordinator names the login. */
  session = ''
  readonly received: { header: Header; bodies: Uint8Array[] }[] = []
  readonly #identity: Identity
  readonly #invite: Invite
  readonly #dealer: DealerTransport
  readonly site: string
  #hello: Uint8Array = new Uint8Array()
  #transcript: Uint8Array = new Uint8Array()
  #run = ''
  readonly #ephemeral = new Ephemeral()
  #key: Buffer | undefined
  #model: ModelState | undefined
  connections = 0
  /** What it joins with, where a test says so. */
  readonly #joins: { header: unknown; body: unknown }
  onTask: ((task: Header<'TASK'>, model: ModelState) => void) | undefined

  constructor(
    site: string,
    identity: Identity,
    invite: Invite,
    { login = true, joins }: { login?: boolean; joins?: { header: unknown; body: unknown } | undefined } = {},
  ) {
    this.#joins = joins ?? { header: { v: V, type: 'JOIN', working: null }, body: describeFake(site) }
    this.site = site
    this.#identity = identity
    this.#invite = invite
    this.#dealer = openDealer({
      address: inviteAddress(invite),
      serverPublic: invite.curvePublic,
      curve: identity,
      maxMessageBytes: 64 << 20,
      onConnected: () => {
        this.connections += 1
        if (login) this.hello()
      },
      onDisconnected: () => undefined,
      onUnsent: () => setTimeout(() => login && this.hello(), 20),
      onRefused: () => undefined,
      onHandshakeFailed: () => undefined,
      onMessage: (frames) => this.#receive(frames),
    })
  }

  hello(): void {
    const frames = encodeUnsigned({
      v: V,
      type: 'HELLO',
      purpose: 'work',
      signingKey: this.#identity.signingPublic.toString('base64url'),
      curveKey: this.#identity.curvePublic.toString('base64url'),
      nonce: this.#ephemeral.nonce,
    })
    this.#hello = frames[0]!
    this.#dealer.send(frames)
  }

  sendRaw(frames: readonly Uint8Array[]): void {
    this.said.push([...frames])
    this.#dealer.send(frames)
  }

  sign(header: Header, bodies: readonly Uint8Array[] = []): Uint8Array[] {
    const key = header.type === 'AUTH' ? undefined : this.#key
    const author = { identity: this.#identity, sender: 'site', session: this.#transcript, key } as const
    return encodeSigned(author, header, bodies)
  }

  send(header: Header, bodies: readonly Uint8Array[] = []): void {
    this.sendRaw(this.sign(header, bodies))
  }

  /**
   * A true RESULT for a task, to be sent as it is or spoiled.
   * @param change what it is signed for in place of the truth
   */
  result(
    task: Header<'TASK'>,
    model: ModelState,
    samples: number,
    change: Partial<UpdateClaim> = {},
  ): { header: Header<'RESULT'>; bodies: Uint8Array[] } {
    const { round, base } = task
    const claim = { run: this.#run, round, site: this.site, base, samples, update: modelSha256(model) }
    const updateSignature = signUpdate(this.#identity, { ...claim, ...change })
    return {
      header: { v: V, type: 'RESULT', purpose: 'train', round, base, samples, updateSignature },
      bodies: [encodeModelBody(model), Buffer.from(JSON.stringify({ loss: 1 / round, dice: DICE, seconds: 0.01 }))],
    }
  }

  /** Does its tasks as the fake trainer does, and sends every result as often as asked, and all earlier ones again. */
  work(times: number): void {
    const trainer = createFakeTrainer(this.site)
    const sent: Uint8Array[][] = []
    let state: Uint8Array | null = null
    const done = new Set<string>()
    this.onTask = async (task, model) => {
      const { round, base, purpose } = task
      if (done.has(`${purpose} ${round}`)) return
      done.add(`${purpose} ${round}`)
      const signal = new AbortController().signal
      if (purpose === 'evaluate') {
        const { cases, loss, dice } = await trainer.evaluate({ round, model, signal })
        const header: Header = { v: V, type: 'RESULT', purpose, round, base, samples: cases }
        sent.push(this.sign(header, [new Uint8Array(), Buffer.from(JSON.stringify({ loss, dice }))]))
      } else {
        const outcome = await trainer.train({ round, rounds: 3, model, state, signal, onStep: () => undefined })
        state = outcome.state
        const { header, bodies } = this.result(task, outcome.model, outcome.samples)
        sent.push(this.sign(header, bodies))
      }
      for (let i = 0; i < times; i++) for (const frames of sent) this.sendRaw(frames)
    }
  }

  of<T extends MessageType>(type: T): Header<T>[] {
    return this.received.flatMap(({ header }) => (header.type === type ? [header as Header<T>] : []))
  }

  close(): Promise<void> {
    return this.#dealer.close()
  }

  #receive(frames: readonly Uint8Array[]): void {
    if (frames.length === 1) return
    const value = JSON.parse(Buffer.from(frames[0]!).toString()) as Header
    if (value.type === 'CHALLENGE') {
      this.session = value.session
      this.#transcript = transcriptHash(this.#hello, frames[0]!)
      this.#run = value.run
      this.#key = this.#ephemeral.agree(value.nonce, this.#transcript)
      this.send({ v: V, type: 'AUTH' })
      return
    }
    if (value.type === 'WHO' || value.type === 'DENY') {
      this.received.push({ header: value, bodies: [] })
      return
    }
    const { header, bodies } = decodeSigned(
      frames,
      Object.keys(HEADERS) as MessageType[],
      { signingPublic: this.#invite.signingPublic, sender: 'coordinator', session: this.#transcript, key: this.#key },
      LAYOUT,
    )
    this.received.push({ header, bodies })
    if (header.type === 'WELCOME') {
      this.send(this.#joins.header as Header, [encodeJsonBody(this.#joins.body)])
    } else if (header.type === 'TASK') {
      const model =
        bodies[0]!.length > 0 ? decodeModelBody(LAYOUT, bodies[0]!, { expectedSha256: header.base }) : this.#model!
      this.#model = model
      this.onTask?.(header, model)
    } else if (header.type === 'DONE') {
      this.send({ v: V, type: 'BYE', reason: 'done' })
    }
  }
}

/** A copy of a model's floats that a test may spoil. */
export function copyOf(model: ModelState): ModelState {
  return { parameters: model.parameters.slice(), statistics: model.statistics.slice() }
}

/** Starts the coordinator of a federation in which site-2 was approved and is gone again, and a client with site-2's keys. */
export async function admitRawSite(loopback: Loopback): Promise<{ raw: RawSite; invite: Invite }> {
  await loopback.start()
  await approveAndStop(loopback, 'site-2')
  const raw = await openRawSite(loopback, 'site-2')
  return { raw, invite: parseInvite(loopback.invites.get('site-2')!) }
}

/** Lets a site be approved; then it is gone again, without a task: what it had made of one could come later. */
export async function approveAndStop(
  loopback: Loopback,
  name: string,
  change: Partial<JoinOptions> = {},
): Promise<void> {
  loopback.coordinator.pause()
  const site = loopback.join(name, change)
  await until(() =>
    loopback.events.some(({ type, ...event }) => type === 'site-state' && 'state' in event && event.site === name),
  )
  site.stop()
  await site.finished.catch(() => undefined)
  loopback.coordinator.resume()
}

/** A client with the keys of a site that was approved, logged in. */
export async function openRawSite(
  loopback: Loopback,
  name: string,
  joins?: { header: unknown; body: unknown },
): Promise<RawSite> {
  const identity = await loadIdentity(join(loopback.siteFolder(name), 'keys', 'site.json'))
  const raw = new RawSite(name, identity, parseInvite(loopback.invites.get(name)!), { joins })
  await until(() => raw.of('ADMIT').length > 0)
  return raw
}
