import { assertNever, MeshflError } from '@meshfl/core'
import type { Admissions, ApprovedSite, IssuedInvite, Refusal } from './admissions.js'
import type { PendingSite } from './approvals.js'
import { enrolmentKeys, INVITE_PREFIX, parseInvite } from './invite.js'
import type { SiteLine, SitesAnswer, SitesRequest } from './sites-request.js'

/** What only a running coordinator has: connections, and sites that ask. */
interface RunningSites {
  stateOf(site: string): SiteLine['state'] | undefined
  readonly pending: readonly PendingSite[]
  decide(pending: PendingSite, isApproved: boolean): Promise<Refusal | undefined>
  /** Ends the site's connection with these words; `isGone`: for good, with what it gave to the round in progress. */
  expel(site: string, refusal: Refusal, isGone: boolean): void
  /** Ends what is said and asked with an invite that counts no more. */
  withdrawInvite(id: string): void
  /** Has every model scored at every site. @returns when, in words @throws MeshflError `CROSS_SITE_NOT_POSSIBLE` */
  compare(): string
}

export interface SitesDeskOptions {
  admissions: Admissions
  /** An invite as sites are given it. */
  format(invite: IssuedInvite): string
  /** Absent: no coordinator runs. */
  running?: RunningSites
}

/** Answers the operator: each request changes one site and touches no other; asked twice, it does no more than once. */
export class SitesDesk {
  readonly #options: SitesDeskOptions

  constructor(options: SitesDeskOptions) {
    this.#options = options
  }

  /**
   * @param id names the request
   * @throws MeshflError `SITE_UNKNOWN`, `SITE_NOT_ASKING`, `SITE_AMBIGUOUS`, `INVITE_MALFORMED`, `INVITE_UNKNOWN`, `INVITE_USED`, `CROSS_SITE_NOT_POSSIBLE`, `FEDERATION_DENIED`, `DISK_FULL`, `PATH_NOT_WRITABLE`
   */
  async handle(request: SitesRequest, id: string): Promise<SitesAnswer> {
    switch (request.action) {
      case 'list':
        return this.#list()
      case 'invite': {
        const { admissions } = this.#options
        const issued = await admissions.issueInvites(request.count, inSeconds(request.expiresSeconds), { request: id })
        return { sites: [], invites: this.#invites(issued) }
      }
      case 'approve':
        return this.#approve(request.site)
      case 'revoke':
        return request.site.includes(INVITE_PREFIX) ? this.#withdraw(request.site) : this.#revoke(request.site)
      case 'cross-site':
        return { sites: [], invites: [], note: this.#compare() }
      case 'rotate':
        return this.#rotate(request.site, request.expiresSeconds, id)
      default:
        return assertNever(request)
    }
  }

  #compare(): string {
    const { running } = this.#options
    if (running) return running.compare()
    throw new MeshflError('CROSS_SITE_NOT_POSSIBLE', 'no coordinator works in this folder: its sites cannot be asked', {
      hint: 'go on with meshfl serve and ask then; tables of before are in the report: meshfl eval',
    })
  }

  #list(): SitesAnswer {
    const { admissions, running } = this.#options
    const revoked = admissions.revoked.map(
      ({ site, fingerprint, revoked }): SiteLine => ({ site, state: 'revoked', fingerprint, since: revoked }),
    )
    return {
      sites: [
        ...admissions.sites.map((entry) => this.#line(entry)),
        ...(running?.pending ?? []).map(pendingLine),
        ...revoked,
      ],
      invites: this.#invites(admissions.unusedInvites(new Date())),
    }
  }

  async #approve(asked: string): Promise<SitesAnswer> {
    const { admissions, running } = this.#options
    const waiting = this.#pending(asked)
    if (waiting) {
      const refusal = await running!.decide(waiting, true)
      if (refusal) throw new MeshflError(refusal.code, refusal.reason, { hint: 'ask the site to join again' })
    }
    const entry = this.#find(asked)
    if (!entry) {
      throw new MeshflError('SITE_NOT_ASKING', `no site called ${asked} asks to take part`, {
        hint: running ? 'see who does with: meshfl sites list' : 'start the coordinator: sites ask while it runs',
        data: { site: asked },
      })
    }
    return { sites: [this.#line(admissions.siteOf(entry.site)!)], invites: [] }
  }

  async #revoke(asked: string): Promise<SitesAnswer> {
    const { admissions, running } = this.#options
    const now = new Date()
    const entry = this.#find(asked)
    if (entry) {
      const written = admissions.revoke(entry.site, now)
      // At once, however long a full disk keeps its name from being written down.
      running?.expel(entry.site, admissions.refuseKey(entry.signingKey), true)
      await written
    } else {
      const waiting = this.#pending(asked)
      if (waiting) {
        await running!.decide(waiting, false)
        const { site, fingerprint } = waiting
        return { sites: [{ site, state: 'revoked', fingerprint, since: now.toISOString() }], invites: [] }
      }
    }
    const gone = admissions.revoked.filter(({ site, fingerprint }) => site === asked || fingerprint === asked).at(-1)
    if (!gone) throw unknown(asked)
    const { site, fingerprint, revoked } = gone
    return { sites: [{ site, state: 'revoked', fingerprint, since: revoked }], invites: [] }
  }

  /** Takes back an invite that nobody has used, whoever has it. */
  async #withdraw(invite: string): Promise<SitesAnswer> {
    const { admissions, running } = this.#options
    const { id } = enrolmentKeys(parseInvite(invite).secret)
    const written = admissions.withdrawInvite(id)
    if (!admissions.invite(id)) running?.withdrawInvite(id)
    await written
    return { sites: [], invites: [], note: 'the invite is withdrawn: nobody comes in with it' }
  }

  async #rotate(site: string, expiresSeconds: number, request: string): Promise<SitesAnswer> {
    const { admissions, running } = this.#options
    const entry = admissions.siteOf(site)
    if (!entry) throw unknown(site)
    // The invite first: a crash between the two leaves a site that works and one invite more.
    const issued = await admissions.issueInvites(1, inSeconds(expiresSeconds), { site, request })
    const written = admissions.beginRotation(site)
    running?.expel(site, admissions.refuseKey(entry.signingKey), false)
    await written
    return { sites: [this.#line(admissions.siteOf(site)!)], invites: this.#invites(issued) }
  }

  #find(asked: string): ApprovedSite | undefined {
    return this.#options.admissions.sites.find(({ site, fingerprint }) => site === asked || fingerprint === asked)
  }

  #pending(asked: string): PendingSite | undefined {
    const [first, ...others] = (this.#options.running?.pending ?? []).filter(
      ({ site, fingerprint }) => site === asked || fingerprint === asked,
    )
    if (others.length === 0) return first
    const keys = [first!, ...others].map(({ fingerprint }) => fingerprint)
    throw new MeshflError('SITE_AMBIGUOUS', `${keys.length} sites ask as ${asked}: ${keys.join(', ')}`, {
      hint: 'name the one by its fingerprint',
      data: { site: asked, fingerprints: keys },
    })
  }

  #line(entry: ApprovedSite): SiteLine {
    const { site, fingerprint, approved, description } = entry
    const { trainCases, validCases, engine } = description
    const state = entry.rotating ? 'rotating' : (this.#options.running?.stateOf(site) ?? 'away')
    return { site, state, fingerprint, since: approved, trainCases, validCases, engine }
  }

  #invites(invites: readonly IssuedInvite[]): SitesAnswer['invites'] {
    return invites.map((invite) => ({
      invite: this.#options.format(invite),
      expires: invite.expires.toISOString(),
      ...(invite.site === undefined ? {} : { site: invite.site }),
    }))
  }
}

function pendingLine({ site, fingerprint, since, description }: PendingSite): SiteLine {
  const { trainCases, validCases, engine } = description
  return { site, state: 'asking', fingerprint, since: since.toISOString(), trainCases, validCases, engine }
}

function inSeconds(seconds: number): Date {
  return new Date(Date.now() + seconds * 1000)
}

function unknown(site: string): MeshflError {
  return new MeshflError('SITE_UNKNOWN', `the coordinator knows no site called ${site}`, {
    hint: 'see which there are with: meshfl sites list',
    data: { site },
  })
}
