import { type ErrorDetail, formatHostPort, MeshflError, type SiteDescription } from '@meshfl/core'
import {
  checkSignature,
  decodeSigned,
  encodeJsonBody,
  encodeSigned,
  encodeUnsigned,
  type Message,
  nameOf,
  ProtocolError,
  peekType,
  transcriptHash,
} from './frame.js'
import { type Identity, runName } from './identity.js'
import { type EnrolmentKeys, enrolmentKeys, type Invite } from './invite.js'
import { type Header, PROTOCOL_VERSION, type Work } from './messages.js'
import { Ephemeral } from './session-key.js'
import { addTraffic, type TrafficFigures } from './traffic.js'
import type { DealerTransport, Heartbeat } from './transport.js'
import { readWelcome, type Welcome } from './welcome.js'
import { isOtherControl, sayWholeControls } from './whole-controls.js'
import { openDealer } from './zeromq-dealer.js'

const MAX_MESSAGE_BYTES = 64 << 20
/** Handshakes that break off one after the other before a site that was never let in gives up. */
const MAX_FAILED_HANDSHAKES = 5
/** Whoever has other keys ends a handshake at once; a coordinator that has too much to do, after its 3 s: it says nothing of keys. */
const AT_ONCE_MS = 1000
const LOGIN_PATIENCE_MS = 2000
const MAX_DOUBLINGS = 5
const WRONG_SERVER_HINT =
  'ask the coordinator’s operator for a new invite, and whether something stands between you and it'

/** What a coordinator may say once a site has joined. */
export type CoordinatorMessage = 'TASK' | 'ACK' | 'PONG' | 'DONE' | 'BYE'
const COORDINATOR_MESSAGES = ['TASK', 'ACK', 'PONG', 'DONE', 'BYE', 'DENY'] as const

export interface SiteLinkOptions {
  identity: Identity
  invite: Invite
  /** The ZeroMQ address that leads to the invite's coordinator. */
  address: string
  /** Whether this site was approved before: it connects with its own key. */
  isMember: boolean
  heartbeat: Heartbeat
  /** Asked at every login. */
  describe(welcome: Welcome): Promise<SiteDescription>
  working(): Work | null
  /** Whether the site may go on with another engine than it was admitted with. */
  allowsEngineChange: boolean
  onEnrolled(welcome: Welcome, site: string): Promise<void>
  onJoined(welcome: Welcome, site: string): void
  onLost(): void
  onMessage(message: Message<CoordinatorMessage>): void
  /** It ends here: refused, denied, another server key, or a fault of ours. */
  onFailed(error: unknown): void
  log(level: 'info' | 'warn', message: string): void
}

type Stage = 'down' | 'hello' | 'auth' | 'describing' | 'joining' | 'joined'

/** A site's connection: dials, logs in, logs in again; tells when it may work. */
export class SiteLink {
  readonly #options: SiteLinkOptions
  readonly #enrolment: EnrolmentKeys
  #isMember: boolean
  #dealer: DealerTransport | undefined
  #stage: Stage = 'down'
  #stageSince = performance.now()
  #hello: Uint8Array = new Uint8Array()
  #transcript: Uint8Array = new Uint8Array()
  #ephemeral = new Ephemeral()
  /** Once the coordinator has proved who it is. */
  #key: Buffer | undefined
  #run = ''
  #studySha256 = ''
  #welcome: Welcome | undefined
  /** Since this connection was made. */
  #hellos = 0
  #failedHandshakes = 0
  #wasConnected = false
  #saidUnreachable = false
  #closed = false
  readonly traffic: TrafficFigures = { bytesSent: 0, bytesReceived: 0, payloadSent: 0, payloadReceived: 0 }

  constructor(options: SiteLinkOptions) {
    this.#options = options
    this.#isMember = options.isMember
    this.#enrolment = enrolmentKeys(options.invite.secret)
  }

  get isJoined(): boolean {
    return this.#stage === 'joined'
  }

  /** @throws MeshflError `INVITE_MALFORMED` */
  open(): void {
    const { identity, invite, address } = this.#options
    let dealer: DealerTransport
    const current = (listener: () => void) => (): void => {
      if (this.#dealer === dealer || this.#dealer === undefined) this.#guard(listener)
    }
    this.#enter('down')
    this.#dealer = undefined
    dealer = openDealer({
      heartbeat: this.#options.heartbeat,
      address,
      serverPublic: invite.curvePublic,
      curve: this.#isMember ? identity : this.#enrolment,
      maxMessageBytes: MAX_MESSAGE_BYTES,
      onConnected: current(() => this.#connected()),
      onDisconnected: current(() => this.#lost()),
      onUnsent: current(() => {
        if (this.#stage === 'hello') setTimeout(() => this.#stage === 'hello' && this.#sendHello(), 20)
      }),
      onRefused: current(() => this.#refused()),
      onHandshakeFailed: (afterMs) => current(() => this.#handshakeFailed(afterMs))(),
      onMessage: (frames) => {
        if (this.#dealer !== dealer) return
        addTraffic(this.traffic, 'received', frames)
        this.#guard(() => this.#receive(frames))
      },
    })
    this.#dealer = dealer
  }

  /** Sends a message; nothing where the site is not logged in. */
  send(header: Header, bodies: readonly Uint8Array[] = []): void {
    if (this.#stage === 'joined') this.#send(header, bodies)
  }

  /** Says goodbye, also where the coordinator may have let us in and its word is still on the way. */
  leave(reason: string): void {
    if (this.#stage === 'joined' || this.#stage === 'joining') this.#send({ v: PROTOCOL_VERSION, type: 'BYE', reason })
  }

  /** Looks at the clock: a login that gets no answer begins again, an unreachable coordinator is named once. */
  tick(): void {
    const waited = performance.now() - this.#stageSince
    // A slow line needs longer for the same answer: asking anew each time would never let one through.
    const patience = LOGIN_PATIENCE_MS * 2 ** Math.min(this.#hellos - 1, MAX_DOUBLINGS)
    if ((this.#stage === 'hello' || this.#stage === 'auth') && waited > patience) this.#sendHello()
    if (this.#stage === 'down' && waited > LOGIN_PATIENCE_MS && !this.#saidUnreachable) {
      this.#saidUnreachable = true
      this.#options.log(
        'warn',
        `the coordinator at ${formatHostPort(this.#options.invite)} cannot be reached; trying for ever`,
      )
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#dealer?.close()
  }

  #connected(): void {
    this.#wasConnected = true
    this.#hellos = 0
    this.#failedHandshakes = 0
    this.#saidUnreachable = false
    this.#sendHello()
  }

  #lost(): void {
    const wasJoined = this.#stage === 'joined'
    this.#enter('down')
    if (wasJoined) this.#options.onLost()
  }

  #refused(): void {
    const { host, port } = this.#options.invite
    this.#fail(
      'FEDERATION_REFUSED',
      `the coordinator at ${host}:${port} does not admit ${this.#isMember ? 'this site’s key' : 'this invite'}`,
      { hint: 'ask its operator for a new invite' },
    )
  }

  #handshakeFailed(afterMs: number): void {
    this.#lost()
    if (afterMs > AT_ONCE_MS) return
    this.#failedHandshakes += 1
    if (this.#wasConnected || this.#failedHandshakes < MAX_FAILED_HANDSHAKES) return
    if (!this.#isMember) {
      this.#fail('FEDERATION_SERVER_KEY', this.#wrongServerWords(), { hint: WRONG_SERVER_HINT })
    } else if (this.#failedHandshakes === MAX_FAILED_HANDSHAKES) {
      this.#options.log('warn', `${this.#wrongServerWords()}; trying for ever`)
    }
  }

  #wrongServerWords(): string {
    const { host, port } = this.#options.invite
    return `who answers at ${host}:${port} does not hold the keys that the invite names`
  }

  #sendHello(): void {
    const { identity } = this.#options
    if (this.#stage === 'joined') this.#options.onLost()
    this.#ephemeral = new Ephemeral()
    this.#key = undefined
    const header: Header<'HELLO'> = {
      v: PROTOCOL_VERSION,
      type: 'HELLO',
      purpose: this.#isMember ? 'work' : 'enrol',
      signingKey: identity.signingPublic.toString('base64url'),
      curveKey: identity.curvePublic.toString('base64url'),
      nonce: this.#ephemeral.nonce,
      ...(this.#isMember ? {} : { invite: this.#enrolment.id }),
    }
    const frames = encodeUnsigned(header)
    this.#hello = frames[0]!
    this.#hellos += 1
    this.#enter('hello')
    this.#dealer?.send(frames)
  }

  #receive(frames: readonly Uint8Array[]): void {
    if (frames.length === 1 && frames[0]!.length === 0) return // the coordinator tries whether we are there
    const { type } = peekType(frames)
    if (type === 'WHO') {
      // Between greeting and challenge it answers what we said before the greeting; after that, the login is one that has ended.
      if (this.#stage !== 'hello') this.#sendHello()
      return
    }
    switch (this.#stage) {
      case 'hello':
        this.#challenged(frames, type === 'DENY')
        break
      case 'auth': {
        const message = this.#read(frames, ['WELCOME', 'DENY'])
        if (message.header.type === 'DENY') this.#denied(message.header)
        else this.#welcomed(message as Message<'WELCOME'>)
        break
      }
      case 'joining': {
        const { header } = this.#read(frames, ['ADMIT', 'DENY'])
        if (header.type === 'DENY') this.#denied(header)
        else this.#admitted(header)
        break
      }
      case 'joined': {
        if (type === undefined) break // a newer coordinator may say more
        const message = this.#read(frames, COORDINATOR_MESSAGES)
        if (message.header.type === 'DENY') this.#denied(message.header)
        else this.#options.onMessage(message as Message<CoordinatorMessage>)
        break
      }
      case 'down':
      case 'describing':
        break // an answer to an older login
    }
  }

  #read<T extends Header['type']>(frames: readonly Uint8Array[], types: readonly T[]): Message<T> {
    const { signingPublic } = this.#options.invite
    return decodeSigned(
      frames,
      types,
      { signingPublic, sender: 'coordinator', session: this.#transcript, key: this.#key },
      this.#welcome?.layout,
    )
  }

  #challenged(frames: readonly Uint8Array[], isDenial: boolean): void {
    this.#transcript = transcriptHash(this.#hello, isDenial ? new Uint8Array() : frames[0]!)
    let header: Header<'CHALLENGE' | 'DENY'>
    try {
      if (this.#speaksAnother(frames)) return
      header = this.#read(frames, ['CHALLENGE', 'DENY']).header
    } catch (error) {
      // With one greeting out, this cannot be the answer to another: it is signed by another key than the invite names.
      if (!(error instanceof ProtocolError) || this.#hellos > 1) throw error
      this.#fail('FEDERATION_SERVER_KEY', this.#wrongServerWords(), { hint: WRONG_SERVER_HINT })
      return
    }
    if (header.type === 'DENY') {
      this.#denied(header)
      return
    }
    if (header.run !== runName(header.study, this.#options.invite.signingPublic)) {
      this.#fail('FEDERATION_SERVER_KEY', 'the coordinator shows the run of another', { hint: WRONG_SERVER_HINT })
      return
    }
    const key = this.#ephemeral.agree(header.nonce, this.#transcript)
    if (!key) throw new ProtocolError('the coordinator’s nonce is no key')
    this.#run = header.run
    this.#studySha256 = header.study
    const proof = this.#isMember ? {} : { proof: this.#enrolment.prove(this.#transcript).toString('hex') }
    this.#enter('auth')
    this.#send({ v: PROTOCOL_VERSION, type: 'AUTH', ...proof }) // signed: the key comes after it
    this.#key = key
  }

  /** Another major version: nothing of what it says is read but that its signature is right. */
  #speaksAnother(frames: readonly Uint8Array[]): boolean {
    const { version } = peekType(frames)
    if (version === PROTOCOL_VERSION) return false
    const { signingPublic } = this.#options.invite
    checkSignature(frames, { signingPublic, sender: 'coordinator', session: this.#transcript })
    const theirs = nameOf(version).slice(0, 8)
    this.#fail('FEDERATION_VERSION', `the coordinator speaks MFP/${theirs}, this site MFP/${PROTOCOL_VERSION}`, {
      hint: 'use the version of meshfl that the coordinator uses',
    })
    return true
  }

  #welcomed({ header, bodies }: Message<'WELCOME'>): void {
    if (header.study !== this.#studySha256 || header.run !== this.#run)
      throw new ProtocolError('it welcomes to another run than the one that it showed')
    const welcome = readWelcome({ header, bodies })
    const { federation } = welcome.study
    if (isOtherControl(federation, header)) {
      const words =
        'the coordinator’s version of meshfl takes how a control variate changed, this site sends the variate itself'
      this.#fail('FEDERATION_VERSION', words, { hint: 'use the version of meshfl that the coordinator uses' })
      return
    }
    const { transcript, options } = { transcript: this.#transcript, options: this.#options }
    this.#welcome = welcome
    this.#enter('describing')
    options
      .describe(welcome)
      .then((description) => {
        if (this.#stage !== 'describing' || this.#transcript !== transcript) return // logged in anew meanwhile
        this.#enter('joining')
        const may = options.allowsEngineChange ? { allowsEngineChange: true } : {}
        const beside = { ...may, ...sayWholeControls(federation) }
        const header = { v: PROTOCOL_VERSION, type: 'JOIN', working: options.working(), ...beside } as const
        this.#send(header, [encodeJsonBody(description)])
      })
      .catch((error) => options.onFailed(error))
  }

  #admitted({ site, reconnect }: Header<'ADMIT'>): void {
    const welcome = this.#welcome!
    if (!reconnect) {
      this.#enter('joined')
      this.#options.onJoined(welcome, site)
      return
    }
    this.#enter('describing')
    const work = async (): Promise<void> => {
      await this.#options.onEnrolled(welcome, site)
      this.#isMember = true
      const old = this.#dealer
      if (this.#closed) return
      this.open()
      await old?.close()
    }
    work().catch((error) => this.#options.onFailed(error))
  }

  #denied({ code, reason }: Header<'DENY'>): void {
    this.#fail(/^[A-Z][A-Z_]{0,63}$/.test(code) ? code : 'FEDERATION_DENIED', `the coordinator says: ${reason}`, {
      hint:
        code === 'SITE_ENGINE_CHANGED'
          ? 'use the engine and precision of before, or pass --allow-engine-change and lose bit-for-bit reproducibility'
          : 'mend what it says, or ask its operator for a new invite',
    })
  }

  #send(header: Header, bodies: readonly Uint8Array[] = []): void {
    const { identity } = this.#options
    const author = { identity, sender: 'site', session: this.#transcript, key: this.#key } as const
    const frames = encodeSigned(author, header, bodies)
    addTraffic(this.traffic, 'sent', frames)
    this.#dealer?.send(frames)
  }

  #fail(code: string, message: string, detail: ErrorDetail): void {
    this.#options.onFailed(new MeshflError(code, message, detail))
  }

  #enter(stage: Stage): void {
    this.#stage = stage
    this.#stageSince = performance.now()
  }

  #guard(work: () => void): void {
    if (this.#closed) return
    try {
      work()
    } catch (error) {
      if (error instanceof ProtocolError) this.#options.log('warn', `a message was refused: ${error.message}`)
      else this.#options.onFailed(error)
    }
  }
}
