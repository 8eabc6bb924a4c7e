import { MeshflError, type SiteDescription, type Study } from '@meshfl/core'
import { type Admissions, INVITE_REPLACED, type IssuedInvite, type Refusal } from './admissions.js'
import { engineChange } from './engine-change.js'
import { fingerprint } from './identity.js'

/** A site that asks to take part, until someone has decided. */
export interface PendingSite {
  readonly site: string
  readonly fingerprint: string
  readonly description: SiteDescription
  readonly since: Date
}

/** Who asks, as a login has shown. */
interface Applicant {
  readonly signingPublic: Buffer
  readonly curveKey: string
  /** The invite's id. */
  readonly invite: string | undefined
}

interface Approval extends PendingSite {
  readonly invite: string | undefined
  /** The site whose keys the invite replaces. */
  readonly replaces: string | undefined
  readonly verdict: Promise<Refusal | undefined>
  decide(isApproved: boolean): void
}

/**
 * Asks someone about a site. The signal fires when its fate is known, also by other ways: an answer that comes after that says nothing.
 */
export type Approve = (request: {
  site: string
  fingerprint: string
  description: SiteDescription
  signal: AbortSignal
}) => Promise<boolean>

interface ApprovalOptions {
  admissions: Admissions
  study: Study
  approve: Approve
  /** Has whoever stops the coordinator wait for a write. */
  track(writing: Promise<void>): Promise<void>
  onEngineChanged(site: string, change: { had: string; has: string }): void
  onFailed(error: unknown): void
}

/** Sites that someone is being asked about. */
export class Approvals {
  readonly #options: ApprovalOptions
  readonly #byKey = new Map<string, Approval>()
  #isClosed = false

  constructor(options: ApprovalOptions) {
    this.#options = options
  }

  get pending(): readonly PendingSite[] {
    return [...this.#byKey.values()]
  }

  /** Decides about a site that waits; resolves when that is on disk. */
  async decide(pending: PendingSite, isApproved: boolean): Promise<Refusal | undefined> {
    const approval = [...this.#byKey.values()].find((known) => known === pending)
    approval?.decide(isApproved)
    return approval?.verdict
  }

  /** Admits nobody any more, also of those about whom someone is still being asked: they ask the next coordinator. */
  close(): void {
    this.#isClosed = true
  }

  /** Turns down who came with an invite for new keys of a site: that invite counts no more. */
  withdraw(site: string): void {
    for (const approval of this.#byKey.values()) if (approval.replaces === site) approval.decide(false)
  }

  /** Turns down who came with an invite that counts no more. */
  withdrawInvite(id: string): void {
    for (const approval of this.#byKey.values()) if (approval.invite === id) approval.decide(false)
  }

  /** The signing key that is being asked about with an invite. */
  keyThatCameWith(invite: string | undefined): string | undefined {
    return [...this.#byKey].find(([, approval]) => approval.invite === invite)?.[0]
  }

  /** Asks about a site, once however often it comes back meanwhile. Resolves with a refusal, or when its admission is on disk. */
  verdict(applicant: Applicant, description: SiteDescription, invite: IssuedInvite): Promise<Refusal | undefined> {
    const signingKey = applicant.signingPublic.toString('base64url')
    return (this.#byKey.get(signingKey) ?? this.#ask(applicant, signingKey, description, invite)).verdict
  }

  #ask(applicant: Applicant, signingKey: string, description: SiteDescription, invite: IssuedInvite): Approval {
    const { site } = description
    const request = { site, fingerprint: fingerprint(applicant.signingPublic), description }
    const known = new AbortController()
    let decide!: (isApproved: boolean) => void
    const decided = new Promise<boolean>((resolve) => {
      decide = resolve
    })
    const verdict = (async (): Promise<Refusal | undefined> => {
      if (this.#options.admissions.siteOfKey(signingKey)) return undefined // approved before its answer was lost
      this.#options.approve({ ...request, signal: known.signal }).then(decide, (error) => this.#options.onFailed(error))
      if (!(await decided)) return { code: 'FEDERATION_DENIED', reason: `${site} was not approved` }
      return this.#admit({ signingKey, curveKey: applicant.curveKey }, description, invite)
    })()
    const approval = { ...request, since: new Date(), invite: applicant.invite, replaces: invite.site, decide, verdict }
    this.#byKey.set(signingKey, approval)
    const forget = (): void => {
      this.#byKey.delete(signingKey)
      known.abort()
    }
    verdict.then(forget, forget)
    return approval
  }

  async #admit(
    keys: { signingKey: string; curveKey: string },
    description: SiteDescription,
    invite: IssuedInvite,
  ): Promise<Refusal | undefined> {
    const { admissions, study, track } = this.#options
    if (this.#isClosed)
      throw new MeshflError('INTERRUPTED', 'the coordinator was stopped before the site was let in', {
        kind: 'interrupted',
        hint: 'start it again: the site asks again',
      })
    // Asking takes time: what was right before may not be now.
    const refusal =
      admissions.refuseInvite(invite, keys.signingKey, new Date(0)) ??
      admissions.refuse(description, keys.signingKey, study, invite)
    if (refusal) return refusal
    if (admissions.invite(invite.keys.id) !== invite) return INVITE_REPLACED
    const known = admissions.knownSite(keys.signingKey, invite)?.description
    await track(admissions.approve(keys, invite, description, new Date()))
    const change = known && engineChange(known, description) // with new keys; that it may was looked at before
    if (change) this.#options.onEngineChanged(description.site, change)
    return undefined
  }
}
