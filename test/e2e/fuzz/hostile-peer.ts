import { type ModelLayout, type ModelState, modelSha256, type Random } from '@meshfl/core'
import { createTinyTrainer, describeTinySite } from '@meshfl/federation'
import {
  decodeModelBody,
  decodeSigned,
  encodeJsonBody,
  encodeModelBody,
  encodeSigned,
  encodeUnsigned,
  peekType,
  transcriptHash,
} from '../../../packages/federation/src/frame.js'
import type { Identity } from '../../../packages/federation/src/identity.js'
import { enrolmentKeys, type Invite, inviteAddress } from '../../../packages/federation/src/invite.js'
import { signUpdate } from '../../../packages/federation/src/ledger.js'
import { type Header, PROTOCOL_VERSION } from '../../../packages/federation/src/messages.js'
import { Ephemeral } from '../../../packages/federation/src/session-key.js'
import type { DealerTransport } from '../../../packages/federation/src/transport.js'
import { openDealer } from '../../../packages/federation/src/zeromq-dealer.js'
import { type Meant, MUTATION_NAMES, MUTATIONS, noise } from './mutants.js'

const V = PROTOCOL_VERSION
/** A login that gets no answer begins again: ours are spoiled all the time. */
const LOGIN_PATIENCE_MS = 50
const PING_MS = 500
const REMEMBERED = 100

export interface HostilePeerOptions {
  site: string
  /** Of an approved site: it also does its work, truly, so that the run needs no patience with it. */
  identity: Identity
  invite: Invite
  /** Whether it comes as an approved site, or with nothing but the invite. */
  isMember: boolean
  layout: ModelLayout
  random: Random
  /** Port to dial in place of the invite's. */
  port?: number
}

type Spoken = 'CHALLENGE' | 'WELCOME' | 'ADMIT' | 'DENY' | 'TASK' | 'ACK' | 'PONG' | 'DONE'
const SPOKEN: readonly Spoken[] = ['CHALLENGE', 'WELCOME', 'ADMIT', 'DENY', 'TASK', 'ACK', 'PONG', 'DONE']

/** Someone with true keys who says what is wrong in every way that we could think of. */
export class HostilePeer {
  /** Messages that were handed to the socket, by what was done to them. */
  readonly sent = new Map<string, number>()
  /** What came back, by type and code or status. */
  readonly answers = new Map<string, number>()
  connections = 0
  isDone = false
  /** By what the coordinator names the login. */
  session: Buffer | undefined
  readonly #options: HostilePeerOptions
  readonly #keys: ReturnType<typeof enrolmentKeys>
  readonly #said: Uint8Array[][] = []
  readonly #states = new Map<number, Uint8Array>()
  #dealer: DealerTransport
  #hello: Uint8Array = new Uint8Array()
  #helloAt = 0
  #pingedAt = 0
  #transcript: Uint8Array = new Uint8Array(32)
  #run = ''
  readonly #ephemeral = new Ephemeral()
  #key: Buffer | undefined
  #isIn = false
  #model: ModelState | undefined
  /** What an honest site would have said last of each type. */
  readonly #meant = new Map<string, Meant>()

  constructor(options: HostilePeerOptions) {
    this.#options = options
    this.#keys = enrolmentKeys(options.invite.secret)
    this.#dealer = this.#dial()
    const { isMember } = options
    const description = { ...describeTinySite(options.site), ...(isMember ? {} : { classes: 7 }) }
    this.#meant.set('JOIN', { header: { v: V, type: 'JOIN', working: null }, bodies: [encodeJsonBody(description)] })
    this.#meant.set('PING', { header: { v: V, type: 'PING', working: null }, bodies: [] })
    this.#meant.set('AUTH', { header: this.#auth(), bodies: [] })
    this.#meant.set('HELLO', { header: this.#greeting(), bodies: [] })
  }

  /** Says so many wrong things, and logs in again where it was thrown out. */
  attack(messages: number): void {
    if (!this.#isIn && performance.now() - this.#helloAt > LOGIN_PATIENCE_MS) this.#login()
    for (let i = 0; i < messages; i++) this.#say()
  }

  /** What a site with nothing to hide would do now: keeps the run going while there is no attack. */
  behave(): void {
    const at = performance.now()
    if (!this.#isIn && at - this.#helloAt > LOGIN_PATIENCE_MS) this.#login()
    if (!this.#isIn || at - this.#pingedAt < PING_MS) return
    this.#pingedAt = at
    // Whatever was lost comes again: a task, or the word that it has to log in.
    this.#sayTruly({ header: { v: V, type: 'PING', working: null }, bodies: [] })
  }

  close(): Promise<void> {
    return this.#dealer.close()
  }

  #dial(): DealerTransport {
    const { invite, isMember, identity, port } = this.#options
    return openDealer({
      address: inviteAddress({ ...invite, port: port ?? invite.port }),
      serverPublic: invite.curvePublic,
      curve: isMember ? identity : this.#keys,
      maxMessageBytes: 64 << 20,
      onConnected: () => {
        this.connections += 1
        this.#login()
      },
      onDisconnected: () => {
        this.#isIn = false
      },
      onUnsent: () => this.#count('not sent: no connection', -1),
      onRefused: () => undefined,
      onHandshakeFailed: () => undefined,
      onMessage: (frames) => this.#receive(frames),
    })
  }

  #count(what: string, by = 1): void {
    this.sent.set(what, (this.sent.get(what) ?? 0) + by)
  }

  #push(what: string, frames: Uint8Array[]): void {
    this.#count(what)
    if (what !== 'true: HELLO' || this.#options.random.integer(10) === 0)
      this.#said[this.#options.random.integer(REMEMBERED)] = frames
    this.#dealer.send(frames)
  }

  #greeting(): Header<'HELLO'> {
    const { identity, isMember } = this.#options
    return {
      v: V,
      type: 'HELLO',
      purpose: isMember ? 'work' : 'enrol',
      signingKey: identity.signingPublic.toString('base64url'),
      curveKey: identity.curvePublic.toString('base64url'),
      nonce: this.#ephemeral.nonce,
      ...(isMember ? {} : { invite: this.#keys.id }),
    }
  }

  #auth(): Header<'AUTH'> {
    const proof = this.#options.isMember ? {} : { proof: this.#keys.prove(this.#transcript).toString('hex') }
    return { v: V, type: 'AUTH', ...proof }
  }

  #login(): void {
    const frames = encodeUnsigned(this.#greeting())
    this.#hello = frames[0]!
    this.#helloAt = performance.now()
    this.#isIn = false
    this.#key = undefined
    this.#push('true: HELLO', frames)
  }

  readonly #sign = (header: unknown, bodies: readonly Uint8Array[]): Uint8Array[] => {
    const key = (header as Header).type === 'AUTH' ? undefined : this.#key
    const author = { identity: this.#options.identity, sender: 'site', session: this.#transcript, key } as const
    return encodeSigned(author, header as Header, bodies)
  }

  #sayTruly({ header, bodies }: Meant): void {
    this.#meant.set(header.type === 'RESULT' ? header.purpose : header.type, { header, bodies })
    this.#push(`true: ${header.type}`, this.#sign(header, bodies))
  }

  #say(): void {
    const { random } = this.#options
    const draw = random.uniform()
    if (draw < 0.1) {
      const frames = this.#said[random.integer(REMEMBERED)]
      if (frames) this.#push('said before, said again', frames)
      return
    }
    if (draw < 0.102) {
      this.#leave()
      return
    }
    if (draw < 0.1023) {
      // Beyond the limit of a frame: the connection ends.
      this.#push('a frame of 2 MiB', [Buffer.from('{}'), new Uint8Array(2 << 20), new Uint8Array()])
      return
    }
    const name = MUTATION_NAMES[random.integer(MUTATION_NAMES.length)]!
    try {
      this.#push(name, MUTATIONS[name]!(this.#pickMeant(), this.#sign, random))
    } catch (error) {
      if (!(error instanceof RangeError)) throw error // longer than we let a header be ourselves
    }
  }

  /** Mostly of what may be said where it stands: what belongs to a login ends the one that there is. */
  #pickMeant(): Meant {
    const { random } = this.#options
    const all = [...this.#meant.values()]
    const due = all.filter(({ header: { type } }) => type === 'PING' || type === 'RESULT')
    const from = this.#isIn && random.integer(20) > 0 ? due : all
    return from[random.integer(from.length)]!
  }

  #leave(): void {
    const { random } = this.#options
    const header: Header =
      random.integer(2) === 0
        ? { v: V, type: 'BYE', reason: noise(random, 100).toString('latin1') }
        : { v: V, type: 'ERROR', phase: 'training', message: '\u001b[2J' }
    this.#push(`true: ${header.type}`, this.#sign(header, header.type === 'ERROR' ? [noise(random, 5000)] : []))
    this.#login()
  }

  #receive(frames: readonly Uint8Array[]): void {
    if (frames.length < 2) return // tried whether we are there
    const { type } = peekType(frames)
    if (type === 'WHO') {
      this.#answered('WHO')
      this.#isIn = false
      return
    }
    if (type === 'CHALLENGE') this.#transcript = transcriptHash(this.#hello, frames[0]!)
    let header: Header
    let bodies: Uint8Array[]
    try {
      const { invite, layout } = this.#options
      const login = { session: this.#transcript, key: this.#key }
      const signer = { signingPublic: invite.signingPublic, sender: 'coordinator', ...login } as const
      ;({ header, bodies } = decodeSigned(frames, SPOKEN, signer, layout))
    } catch {
      this.#answered(`${type} of another login`)
      return
    }
    this.#answered(
      header.type === 'ACK' ? `ACK ${header.status}` : header.type === 'DENY' ? `DENY ${header.code}` : header.type,
    )
    switch (header.type) {
      case 'CHALLENGE':
        this.#run = header.run
        this.#key = this.#ephemeral.agree(header.nonce, this.#transcript)
        this.session = Buffer.from(header.session, 'hex')
        this.#sayTruly({ header: this.#auth(), bodies: [] })
        break
      case 'WELCOME':
        this.#sayTruly(this.#meant.get('JOIN')!)
        break
      case 'ADMIT':
        this.#isIn = true
        break
      case 'TASK':
        this.#task(header, bodies)
        break
      case 'DONE':
        this.isDone = true
        this.#sayTruly({ header: { v: V, type: 'BYE', reason: 'done' }, bodies: [] })
        break
    }
  }

  #answered(what: string): void {
    this.answers.set(what, (this.answers.get(what) ?? 0) + 1)
  }

  #task(task: Header<'TASK'>, bodies: readonly Uint8Array[]): void {
    const { site, layout } = this.#options
    const { round, base, purpose } = task
    if (bodies[0]!.length > 0) this.#model = decodeModelBody(layout, bodies[0]!, { expectedSha256: base })
    const model = this.#model
    if (!model || modelSha256(model) !== base) return
    const { signal } = new AbortController()
    const trainer = createTinyTrainer(site)
    const header = { v: V, type: 'RESULT', purpose, round, base } as const
    if (purpose === 'evaluate') {
      void trainer.evaluate({ round, model, signal }).then(({ cases, loss, dice }) => {
        const scores = encodeJsonBody({ loss, dice })
        this.#sayTruly({ header: { ...header, samples: cases }, bodies: [new Uint8Array(), scores] })
      })
      return
    }
    const state = this.#states.get(round - 1) ?? null
    const trained = trainer.train({ round, rounds: round, model, state, signal, onStep: () => undefined })
    void trained.then(({ model: updated, samples, state: after, metrics }) => {
      this.#states.set(round, after)
      const update = modelSha256(updated)
      const updateSignature = signUpdate(this.#options.identity, { run: this.#run, round, site, base, samples, update })
      const claim = { ...header, samples, updateSignature }
      this.#sayTruly({ header: claim, bodies: [encodeModelBody(updated), encodeJsonBody(metrics)] })
    })
  }
}
