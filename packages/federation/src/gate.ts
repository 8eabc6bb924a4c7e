import type { ModelLayout, SiteDescription, Study } from '@meshfl/core'
import { type Admissions, INVITE_REPLACED, type IssuedInvite, type Refusal } from './admissions.js'
import { Approvals, type Approve, type PendingSite } from './approvals.js'
import { engineChange, refuseEngine } from './engine-change.js'
import {
  type Author,
  checkSignature,
  decodeJsonBody,
  decodeSigned,
  decodeUnsigned,
  encodeJsonBody,
  encodeSigned,
  encodeUnsigned,
  type Message,
  nameOf,
  ProtocolError,
  peekType,
  type Signer,
  transcriptHash,
} from './frame.js'
import type { Identity } from './identity.js'
import { isProof } from './invite.js'
import { type Header, type MessageType, PROTOCOL_VERSION, SiteDescriptionSchema, type Work } from './messages.js'
import { Ephemeral } from './session-key.js'
import { isSigningKey } from './signing-key.js'
import { isOtherControl, sayWholeControls } from './whole-controls.js'

/** More logins in progress than any federation has; the oldest goes first. */
const MAX_SESSIONS = 8192

interface Session {
  readonly peer: string
  /** Its name for everybody else: no two logins have the same, also not those of one connection. */
  readonly login: string
  readonly purpose: 'enrol' | 'work'
  readonly signingPublic: Buffer
  readonly curveKey: string
  readonly invite: string | undefined
  /** What every signature and code of this login is over. */
  readonly transcript: Buffer
  readonly ephemeral: Ephemeral
  readonly nonce: string
  /** Once the site has proved who it is. */
  key: Buffer | undefined
  stage: 'challenged' | 'welcomed' | 'approving' | 'joined'
  site: string
}

/** What a site may say once it has joined. */
export type SiteMessage = 'RESULT' | 'PING' | 'ERROR' | 'BYE'
const SITE_MESSAGES: readonly SiteMessage[] = ['RESULT', 'PING', 'ERROR', 'BYE']

export interface GateOptions {
  identity: Identity
  admissions: Admissions
  run: string
  study: Study
  studySha256: string
  layout: ModelLayout
  approve: Approve
  send(peer: string, message: readonly Uint8Array[] | (() => readonly Uint8Array[])): void
  /** Has whoever stops the coordinator wait for a write: after that, the folder may be another's. */
  track(writing: Promise<void>): Promise<void>
  onJoined(site: string, login: string, working: Work | null): void
  onMessage(site: string, login: string, message: Message<SiteMessage>): void
  onClosed(login: string): void
  /** A site's keys are used by two processes at the same time. */
  onTwice(site: string): void
  /** A site goes on with another engine, which its operator allowed. */
  onEngineChanged(site: string, change: { had: string; has: string }): void
  /** Something was refused; `site` where a login had told who it is. */
  onRefused(words: string, site?: string): void
  onFailed(error: unknown): void
}

/**
 * Who is at which connection. ZeroMQ does not tell which key sent a message, so each connection proves by a login whose it is:
 * HELLO -> CHALLENGE -> AUTH -> WELCOME, with fresh nonces both ways, bound to the routing id that we see. Enrolment takes the
 * same way and proves the invite's secret besides.
 */
export class Gate {
  readonly #options: GateOptions
  readonly #sessions = new Map<string, Session>()
  readonly #approvals: Approvals
  /** The connection at which each site is. */
  readonly #peerOf = new Map<string, string>()
  /** Connections whose site logged in at another one meanwhile. Whoever comes back there is a second process with the same keys. */
  readonly #superseded = new Map<string, string>()
  #logins = 0

  constructor(options: GateOptions) {
    this.#options = options
    this.#approvals = new Approvals(options)
  }

  get peers(): IterableIterator<string> {
    return this.#sessions.keys()
  }

  /** Sites that wait for someone to decide. */
  get pending(): readonly PendingSite[] {
    return this.#approvals.pending
  }

  /** Decides about a site that waits; resolves when that is on disk. */
  decide(pending: PendingSite, isApproved: boolean): Promise<Refusal | undefined> {
    return this.#approvals.decide(pending, isApproved)
  }

  /** Lets nobody new in any more. */
  close(): void {
    this.#approvals.close()
  }

  /** Ends what a site has said and may say at its connection, and what is being asked about it, with a reason. */
  expel(site: string, refusal: Refusal): void {
    this.#approvals.withdraw(site)
    for (const session of [...this.#sessions.values()]) if (session.site === site) this.#deny(session, refusal)
  }

  siteOf(peer: string): string | undefined {
    const session = this.#sessions.get(peer)
    return session?.stage === 'joined' ? session.site : undefined
  }

  /** The login that a connection is in now. */
  loginOf(peer: string): string | undefined {
    return this.#sessions.get(peer)?.login
  }

  /** Sends a message in a login, with a code; nothing where that has ended. */
  send(login: string, header: Header, bodies: readonly Uint8Array[] = []): void {
    const session = this.#sessionOf(login)
    if (session) this.#say(session, header, bodies)
  }

  /** The same, sealed when its turn to be sent has come. */
  sendInTurn(login: string, header: Header, bodies: readonly Uint8Array[]): void {
    const session = this.#sessionOf(login)
    if (!session) return
    const author = this.#author(session.transcript, session.key)
    this.#options.send(session.peer, () => encodeSigned(author, header, bodies))
  }

  /** Ends a login: forgets it, and what came in it and was not come to. One that has ended ends nothing that came after it. */
  drop(login: string): void {
    const session = this.#sessionOf(login)
    if (session) this.#end(session)
  }

  /** Ends what is said and asked with an invite that counts no more. */
  withdrawInvite(id: string): void {
    this.#approvals.withdrawInvite(id)
    for (const session of [...this.#sessions.values()]) if (session.invite === id) this.#deny(session, INVITE_REPLACED)
  }

  #sessionOf(login: string): Session | undefined {
    const session = this.#sessions.get(login.slice(0, login.indexOf(' ')))
    return session?.login === login ? session : undefined
  }

  /** Signed, or with a code once the peer has proved who it is. */
  #say(session: Session, header: Header, bodies: readonly Uint8Array[] = []): void {
    this.#options.send(session.peer, encodeSigned(this.#author(session.transcript, session.key), header, bodies))
  }

  #author(session: Uint8Array, key?: Uint8Array): Author {
    return { identity: this.#options.identity, sender: 'coordinator', session, key }
  }

  #end(session: Session): void {
    const { peer, site, login } = session
    if (this.#sessions.get(peer) !== session) return
    this.#sessions.delete(peer)
    if (session.stage !== 'joined') return
    if (this.#peerOf.get(site) === peer) this.#peerOf.delete(site)
    this.#options.onClosed(login)
  }

  /** Takes whatever came in on a connection; what is wrong is dropped, said, and harms nothing. */
  receive(peer: string, frames: readonly Uint8Array[]): void {
    const session = this.#sessions.get(peer)
    try {
      const { type, version } = peekType(frames)
      if (type === 'HELLO') {
        this.#hello(peer, frames, version)
        return
      }
      if (!session) {
        this.#options.onRefused(`${type ?? 'a message of an unknown type'} before a login was refused`)
        this.#options.send(peer, encodeUnsigned({ v: PROTOCOL_VERSION, type: 'WHO' }))
        return
      }
      this.#inSession(session, frames, type)
    } catch (error) {
      const isJoined = session?.stage === 'joined'
      // Whatever a stranger's message breaks in us, the run goes on.
      if (isJoined && !(error instanceof ProtocolError)) throw error
      const who = isJoined ? session.site : 'an unknown peer'
      this.#options.onRefused(
        `a message of ${who} was refused: ${(error as Error).message}`,
        session?.site || undefined,
      )
    }
  }

  #inSession(session: Session, frames: readonly Uint8Array[], type: MessageType | undefined): void {
    const { signingPublic, transcript, key } = session
    const signer: Signer = { signingPublic, sender: 'site', session: transcript, key }
    const read = <T extends MessageType>(types: readonly T[]): Message<T> =>
      decodeSigned(frames, types, signer, this.#options.layout)
    switch (session.stage) {
      case 'challenged':
        this.#auth(session, read(['AUTH']).header)
        return
      case 'welcomed':
        this.#join(session, read(['JOIN']))
        return
      case 'approving':
        return // nothing is due until someone has decided
      case 'joined':
        if (type === undefined) {
          checkSignature(frames, signer) // an unknown type is ignored where its signature is right: a newer site may say more
          return
        }
        this.#options.onMessage(session.site, session.login, read(SITE_MESSAGES))
        return
    }
  }

  #hello(peer: string, frames: readonly Uint8Array[], version: unknown): void {
    if (version !== PROTOCOL_VERSION) {
      const reason = `the site speaks MFP/${nameOf(version).slice(0, 8)}, the coordinator MFP/${PROTOCOL_VERSION}: use the same version of meshfl`
      const header: Header = { v: PROTOCOL_VERSION, type: 'DENY', code: 'FEDERATION_VERSION', reason }
      const transcript = transcriptHash(frames[0]!, new Uint8Array())
      this.#options.send(peer, encodeSigned(this.#author(transcript), header))
      this.#options.onRefused(reason)
      return
    }
    const { header } = decodeUnsigned(frames, 'HELLO')
    const signingPublic = Buffer.from(header.signingKey, 'base64url')
    // What it signs could be anybody's: the ledger would name a site that signed nothing.
    if (!isSigningKey(signingPublic)) throw new ProtocolError('its signing key is nobody’s: it needs no secret')
    const before = this.#sessions.get(peer)
    if (before) this.#end(before)
    if (this.#sessions.size >= MAX_SESSIONS) {
      const oldest = [...this.#sessions.values()].find(({ stage }) => stage === 'challenged')
      if (oldest) this.#end(oldest)
    }
    const ephemeral = new Ephemeral()
    const challenge: Header<'CHALLENGE'> = {
      v: PROTOCOL_VERSION,
      type: 'CHALLENGE',
      nonce: ephemeral.nonce,
      session: peer,
      run: this.#options.run,
      study: this.#options.studySha256,
    }
    const transcript = transcriptHash(frames[0]!, Buffer.from(JSON.stringify(challenge)))
    this.#logins += 1
    const session: Session = {
      peer,
      login: `${peer} ${this.#logins}`,
      purpose: header.purpose,
      signingPublic,
      curveKey: header.curveKey,
      invite: header.invite,
      transcript,
      ephemeral,
      nonce: header.nonce,
      key: undefined,
      stage: 'challenged',
      site: '',
    }
    this.#sessions.set(peer, session)
    this.#say(session, challenge)
  }

  #auth(session: Session, header: Header<'AUTH'>): void {
    const key = session.ephemeral.agree(session.nonce, session.transcript)
    if (!key) throw new ProtocolError('its nonce is no key')
    const { admissions, run, studySha256, study, layout } = this.#options
    const signingKey = session.signingPublic.toString('base64url')
    if (session.purpose === 'enrol') {
      const invite = admissions.invite(session.invite)
      const refusal = !isInviteProof(invite, session, header)
        ? { code: 'FEDERATION_REFUSED', reason: 'the coordinator does not know this invite' }
        : admissions.refuseInvite(invite!, signingKey, new Date())
      if (refusal) {
        this.#deny(session, refusal)
        return
      }
    } else {
      const known = admissions.siteOfKey(signingKey)
      if (!known) {
        this.#deny(session, admissions.refuseKey(signingKey))
        return
      }
      session.site = known.site
    }
    session.stage = 'welcomed'
    session.key = key
    const layoutBody = { parameters: layout.parameters, statistics: layout.statistics }
    const controls = sayWholeControls(study.federation)
    this.#say(
      session,
      { v: PROTOCOL_VERSION, type: 'WELCOME', run, study: studySha256, layout: layout.sha256, ...controls },
      [encodeJsonBody(study), encodeJsonBody(layoutBody)],
    )
  }

  #join(session: Session, { header, bodies }: Message<'JOIN'>): void {
    const { admissions, study } = this.#options
    const signingKey = session.signingPublic.toString('base64url')
    if (isOtherControl(study.federation, header)) {
      const reason =
        'the site’s version of meshfl sends how its control variate changed, this coordinator takes the variate itself: use the same version of meshfl'
      this.#deny(session, { code: 'FEDERATION_VERSION', reason })
      return
    }
    let description: SiteDescription
    try {
      description = decodeJsonBody(SiteDescriptionSchema, bodies[0]!)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#deny(session, {
        code: 'FEDERATION_DENIED',
        reason: `what the site says of itself cannot be read: ${error.message}`,
      })
      return
    }
    const invite = session.purpose === 'enrol' ? admissions.invite(session.invite) : undefined
    if (session.purpose === 'enrol' && !invite) {
      this.#deny(session, INVITE_REPLACED)
      return
    }
    const known = admissions.knownSite(signingKey, invite)?.description
    const refusal =
      admissions.refuse(description, signingKey, study, invite) ??
      (known && !header.allowsEngineChange ? refuseEngine(known, description) : undefined)
    if (refusal) {
      this.#deny(session, refusal)
      return
    }
    const { site } = description
    session.site = site
    if (session.purpose === 'work') {
      const change = known && engineChange(known, description)
      if (change) this.#changeEngine(session, description, change, header.working)
      else this.#admitToWork(session, header.working)
      return
    }
    const asked = this.#approvals.keyThatCameWith(session.invite)
    if (asked !== undefined && asked !== signingKey) {
      this.#deny(session, {
        code: 'INVITE_USED',
        reason: 'another site has come with this invite and is being asked about',
      })
      return
    }
    session.stage = 'approving'
    this.#approvals
      .verdict(session, description, invite!)
      .then((refused) => {
        if (this.#sessions.get(session.peer) !== session) return // gone, or logged in anew
        if (refused) this.#deny(session, refused)
        else this.#say(session, { v: PROTOCOL_VERSION, type: 'ADMIT', site, reconnect: true })
      })
      .catch((error) => this.#options.onFailed(error))
  }

  /** Written down before the site works with it: whoever reads sites.json sees what the rounds were computed with. */
  #changeEngine(
    session: Session,
    description: SiteDescription,
    change: { had: string; has: string },
    working: Work | null,
  ): void {
    session.stage = 'approving'
    const { admissions, track } = this.#options
    track(admissions.changeEngine(description))
      .then(() => {
        if (this.#sessions.get(session.peer) !== session) return // gone, or logged in anew
        this.#options.onEngineChanged(description.site, change)
        this.#admitToWork(session, working)
      })
      .catch((error) => this.#options.onFailed(error))
  }

  #admitToWork(session: Session, working: Work | null): void {
    const { site, peer, login } = session
    session.stage = 'joined'
    this.#lookForTwins(site, peer)
    this.#say(session, { v: PROTOCOL_VERSION, type: 'ADMIT', site, reconnect: false })
    this.#options.onJoined(site, login, working)
  }

  /** One process that lost its connection comes back at another one, and never at the old one. */
  #lookForTwins(site: string, peer: string): void {
    if (this.#superseded.get(peer) === site) {
      this.#superseded.delete(peer)
      this.#options.onTwice(site)
    }
    const other = this.#peerOf.get(site)
    if (other !== undefined && other !== peer) {
      if (this.#superseded.size >= MAX_SESSIONS) this.#superseded.clear()
      this.#superseded.set(other, site)
    }
    this.#peerOf.set(site, peer)
  }

  #deny(session: Session, { code, reason }: Refusal): void {
    this.#say(session, { v: PROTOCOL_VERSION, type: 'DENY', code, reason })
    this.#options.onRefused(`a login was refused: ${reason}`, session.site || undefined)
    this.#end(session)
  }
}

function isInviteProof(invite: IssuedInvite | undefined, session: Session, { proof }: Header<'AUTH'>): boolean {
  return (
    invite !== undefined && proof !== undefined && isProof(invite.keys, session.transcript, Buffer.from(proof, 'hex'))
  )
}
