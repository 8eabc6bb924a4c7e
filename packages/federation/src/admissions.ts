import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { explainReadError, MeshflError, type SiteDescription, type Study } from '@meshfl/core'
import { z } from 'zod'
import { CoalescedFile } from './coalesced-file.js'
import { fingerprint } from './identity.js'
import { type EnrolmentKeys, enrolmentKeys } from './invite.js'
import { SiteDescriptionSchema, SiteNameSchema } from './messages.js'
import type { PatientWrites } from './patient-writes.js'
import { refuseDescription } from './refuse-description.js'

/** So long after its end an invite still opens a connection, on which its owner is told so; nothing else. */
const EXPLAIN_MS = 24 * 3600 * 1000

const KeysSchema = z.strictObject({
  fingerprint: z.string(),
  signingKey: z.string(),
  curveKey: z.string(),
  /** The invite that they came with: used by that. */
  invite: z.string(),
})
const SiteEntrySchema = KeysSchema.extend({
  site: SiteNameSchema,
  approved: z.string(),
  description: SiteDescriptionSchema,
  /** Set while the site is to come with new keys: its own do not count any more. */
  rotating: z.boolean().optional(),
  /** Those that it had before: they sign nothing new. */
  formerKeys: z.array(KeysSchema).optional(),
})
const RevokedSchema = KeysSchema.extend({ site: SiteNameSchema, revoked: z.string() })
const SitesFileSchema = z.strictObject({
  format: z.literal('meshfl-sites/2'),
  sites: z.array(SiteEntrySchema),
  revoked: z.array(RevokedSchema),
})
const InvitesFileSchema = z.strictObject({
  format: z.literal('meshfl-invites/2'),
  invites: z.array(
    z.strictObject({
      secret: z.string(),
      expires: z.string(),
      /** The site whose keys it replaces. */
      site: SiteNameSchema.optional(),
      /** The request that asked for it: asked again after a crash, it gets the same. */
      request: z.string().optional(),
    }),
  ),
})
export type ApprovedSite = z.infer<typeof SiteEntrySchema>
export type RevokedKeys = z.infer<typeof RevokedSchema>

export interface IssuedInvite {
  secret: Buffer
  keys: EnrolmentKeys
  expires: Date
  site: string | undefined
  request: string | undefined
}

/** A refusal in words that the site shows to its user. */
export interface Refusal {
  code: string
  reason: string
}

/** Of an invite that was there when a login began, and is not any more. */
export const INVITE_REPLACED: Refusal = {
  code: 'INVITE_USED',
  reason: 'a newer invite replaced it, or it was taken back',
}

interface KeyOwner {
  readonly site: string
  readonly fingerprint: string
  readonly signingKey: string
}

/** Who may come in: sites.json (approved and revoked sites, by their keys) and keys/invites.json (secrets, readable by the owner only). */
export class Admissions {
  readonly #sitesFile: CoalescedFile
  readonly #invitesFile: CoalescedFile
  /** Sorted by name. */
  #sites: ApprovedSite[] = []
  #revoked: RevokedKeys[] = []
  #invites: IssuedInvite[] = []
  // What is looked up for every connection and message.
  #byName = new Map<string, ApprovedSite>()
  #byLowerCase = new Map<string, ApprovedSite>()
  #inviteOfId = new Map<string, IssuedInvite>()
  #inviteOfCurve = new Map<string, IssuedInvite>()
  #byKey = new Map<string, ApprovedSite>()
  #curveKeys = new Set<string>()
  #users = new Map<string, KeyOwner>()
  #revokedInvites = new Set<string>()

  private constructor(folder: string, patience: PatientWrites | undefined) {
    this.#sitesFile = new CoalescedFile(join(folder, 'sites.json'), { patience })
    this.#invitesFile = new CoalescedFile(join(folder, 'keys', 'invites.json'), { mode: 0o600, patience })
  }

  /**
   * @param patience for writes while a coordinator runs; absent: they fail at once
   * @throws MeshflError `SITES_FILE_MALFORMED`
   */
  static open(folder: string, patience?: PatientWrites): Admissions {
    const admissions = new Admissions(folder, patience)
    const { sites = [], revoked = [] } = readJson(admissions.#sitesFile.path, SitesFileSchema) ?? {}
    admissions.#change(sites, revoked)
    const { invites = [] } = readJson(admissions.#invitesFile.path, InvitesFileSchema) ?? {}
    admissions.#changeInvites(invites.map(issue))
    // A crash came between a site's end and that of its invite: the next site of its name is another one.
    admissions.#changeInvites(admissions.#invites.filter((invite) => !admissions.#isOrphan(invite)))
    return admissions
  }

  get sites(): readonly ApprovedSite[] {
    return this.#sites
  }

  get revoked(): readonly RevokedKeys[] {
    return this.#revoked
  }

  /** Invites that nobody has used and that still hold. */
  unusedInvites(now: Date): IssuedInvite[] {
    return this.#invites.filter((invite) => invite.expires > now && !this.#users.has(invite.keys.id))
  }

  /** Issues invites until there is one for each of `sites` that is not approved yet. */
  async ensureInvites(sites: number, now: Date, ttlSeconds: number): Promise<void> {
    const open = this.unusedInvites(now).filter(({ site }) => site === undefined)
    const missing = sites - this.#sites.length - open.length
    if (missing > 0) await this.issueInvites(missing, new Date(now.getTime() + ttlSeconds * 1000))
  }

  /**
   * Issues invites, for any site or for one that changes its keys. When it resolves, they are on disk.
   * @param request names who asked: asked again, the same are handed out
   */
  async issueInvites(
    count: number,
    expires: Date,
    { site, request }: { site?: string; request?: string } = {},
  ): Promise<IssuedInvite[]> {
    const known = request === undefined ? [] : this.#invites.filter((invite) => invite.request === request)
    if (known.length > 0) return known
    const issued = Array.from({ length: count }, () =>
      issue({
        secret: randomBytes(16).toString('base64url'),
        expires: expires.toISOString(),
        ...(site === undefined ? {} : { site }),
        ...(request === undefined ? {} : { request }),
      }),
    )
    // A site changes its keys with the newest invite only.
    const others = this.#invites.filter((invite) => site === undefined || invite.site !== site || this.#isUsed(invite))
    this.#changeInvites([...others, ...issued])
    await this.#saveInvites()
    return issued
  }

  /**
   * From now on nobody comes in with an invite; when it resolves, that is on disk.
   * @throws MeshflError `INVITE_UNKNOWN`, `INVITE_USED`
   */
  async withdrawInvite(id: string): Promise<void> {
    const invite = this.#inviteOfId.get(id)
    if (!invite)
      throw new MeshflError('INVITE_UNKNOWN', 'this run has no such invite', {
        hint: 'see those that hold with: meshfl sites list. It may be another run’s, or be withdrawn already',
      })
    const user = this.#users.get(id)
    if (user)
      throw new MeshflError('INVITE_USED', `the invite was used by ${user.site} (${user.fingerprint})`, {
        hint: `it lets nobody else in; to throw that site out: meshfl sites revoke <run> ${user.site}`,
      })
    this.#changeInvites(this.#invites.filter((other) => other !== invite))
    await this.#saveInvites()
  }

  /** Whether a CURVE key may connect: an approved site's, or one derived from an invite (which may only enrol). */
  admits(curvePublic: Buffer, now: Date): boolean {
    const key = curvePublic.toString('base64url')
    if (this.#curveKeys.has(key)) return true
    const invite = this.#inviteOfCurve.get(key)
    if (!invite || this.#revokedInvites.has(invite.keys.id)) return false
    return now.getTime() < invite.expires.getTime() + EXPLAIN_MS
  }

  siteOf(site: string): ApprovedSite | undefined {
    return this.#byName.get(site)
  }

  /** The site whose key this is and counts. */
  siteOfKey(signingKey: string): ApprovedSite | undefined {
    return this.#byKey.get(signingKey)
  }

  /** Whether a site had this key when it signed an update that was accepted then. */
  hadKey(site: string, signingKey: string): boolean {
    const known = this.siteOf(site)
    return [known, ...(known?.formerKeys ?? [])].some((keys) => keys?.signingKey === signingKey)
  }

  invite(id: string | undefined): IssuedInvite | undefined {
    return id === undefined ? undefined : this.#inviteOfId.get(id)
  }

  /** Why a key that is no site's does not count, where it once did. */
  refuseKey(signingKey: string): Refusal {
    const revoked = this.#revoked.find((keys) => keys.signingKey === signingKey)
    if (revoked)
      return {
        code: 'SITE_REVOKED',
        reason: `${revoked.site} (${revoked.fingerprint}) was revoked at ${revoked.revoked}`,
      }
    const former = this.#sites.find(({ site }) => this.hadKey(site, signingKey))
    const mark = fingerprint(Buffer.from(signingKey, 'base64url'))
    if (former)
      return { code: 'SITE_KEYS_REPLACED', reason: `${former.site} changes its keys: ${mark} does not count any more` }
    return { code: 'FEDERATION_REFUSED', reason: `the coordinator does not know the key ${mark}` }
  }

  /** Why an invite does not hold for this key, if so; for keys that were revoked none does. */
  refuseInvite(invite: IssuedInvite, signingKey: string, now: Date): Refusal | undefined {
    if (this.#revoked.some((keys) => keys.signingKey === signingKey)) return this.refuseKey(signingKey)
    const user = this.#users.get(invite.keys.id)
    if (user) {
      if (user.signingKey === signingKey) return this.siteOfKey(signingKey) ? undefined : this.refuseKey(signingKey)
      return { code: 'INVITE_USED', reason: `the invite was used by ${user.site} (${user.fingerprint})` }
    }
    if (invite.expires > now) return undefined
    return { code: 'INVITE_EXPIRED', reason: `the invite expired at ${invite.expires.toISOString()}` }
  }

  /** The site that comes with this key, or that an invite for a change of keys is for. */
  knownSite(signingKey: string, invite?: IssuedInvite): ApprovedSite | undefined {
    return this.siteOfKey(signingKey) ?? (invite?.site === undefined ? undefined : this.siteOf(invite.site))
  }

  /** Why a site with this key, this description and this invite (where it comes with one) cannot take part, if so. */
  refuse(description: SiteDescription, signingKey: string, study: Study, invite?: IssuedInvite): Refusal | undefined {
    const { site } = description
    if (invite && this.#isOrphan(invite))
      return { code: 'SITE_REVOKED', reason: `the invite is for new keys of ${invite.site}, which was revoked` }
    const known = this.knownSite(signingKey, invite)
    // The name becomes a file's: where a file system does not tell cases apart, two such sites would write the same one.
    const namesake = this.#byLowerCase.get(site.toLowerCase())
    if (namesake && namesake !== known) {
      const reason = `another site is called ${namesake.site} (${namesake.fingerprint}): every site needs a name of its own (meshfl split --name)`
      return { code: 'FEDERATION_DENIED', reason }
    }
    return refuseDescription(this.#sites, description, known, study)
  }

  /** Writes an approved site down, or the new keys of one; when it resolves, it is on disk. */
  async approve(
    { signingKey, curveKey }: { signingKey: string; curveKey: string },
    invite: IssuedInvite,
    description: SiteDescription,
    now: Date,
  ): Promise<void> {
    const old = invite.site === undefined ? undefined : this.siteOf(invite.site)
    const entry: ApprovedSite = {
      site: description.site,
      ...keysOf({
        fingerprint: fingerprint(Buffer.from(signingKey, 'base64url')),
        signingKey,
        curveKey,
        invite: invite.keys.id,
      }),
      approved: now.toISOString(),
      description,
      ...(old ? { formerKeys: [...(old.formerKeys ?? []), keysOf(old)] } : {}),
    }
    if (old) {
      await this.#write([...this.#sites.filter((site) => site !== old), entry])
      return
    }
    this.#insert(entry)
    await this.#save()
  }

  /** Writes down what a site computes with from now on; when it resolves, it is on disk. */
  async changeEngine({ site, engine, instructionSet, precision }: SiteDescription): Promise<void> {
    const change = { engine, instructionSet, precision }
    await this.#write(
      this.#sites.map((entry) =>
        entry.site === site ? { ...entry, description: { ...entry.description, ...change } } : entry,
      ),
    )
  }

  /** From now on a site's keys and its invite for others do not count, and its name is free; when it resolves, that is on disk. */
  async revoke(site: string, now: Date): Promise<void> {
    const entry = this.siteOf(site)
    if (!entry) return
    const revoked = [entry, ...(entry.formerKeys ?? [])].map((keys) => ({
      site,
      ...keysOf(keys),
      revoked: now.toISOString(),
    }))
    const written = this.#write(
      this.#sites.filter((known) => known !== entry),
      [...this.#revoked, ...revoked],
    )
    const orphans = this.#invites.filter((invite) => this.#isOrphan(invite))
    this.#changeInvites(this.#invites.filter((invite) => !orphans.includes(invite)))
    await Promise.all([written, ...(orphans.length > 0 ? [this.#saveInvites()] : [])])
  }

  /** From now on a site's keys do not count, and it is to come with others; when it resolves, that is on disk. */
  async beginRotation(site: string): Promise<void> {
    await this.#write(this.#sites.map((entry) => (entry.site === site ? { ...entry, rotating: true } : entry)))
  }

  async #write(sites: ApprovedSite[], revoked = this.#revoked): Promise<void> {
    this.#change(sites, revoked)
    await this.#save()
  }

  async #save(): Promise<void> {
    await this.#sitesFile.write(() => ({ format: 'meshfl-sites/2', sites: this.#sites, revoked: this.#revoked }))
  }

  async #saveInvites(): Promise<void> {
    await this.#invitesFile.write(() => {
      const invites = this.#invites.map(({ secret, expires, site, request }) => ({
        secret: secret.toString('base64url'),
        expires: expires.toISOString(),
        site,
        request,
      }))
      return { format: 'meshfl-invites/2', invites }
    })
  }

  #change(sites: ApprovedSite[], revoked: RevokedKeys[]): void {
    this.#sites = [...sites].sort((a, b) => (a.site < b.site ? -1 : 1))
    this.#revoked = revoked
    this.#revokedInvites = new Set(revoked.map(({ invite }) => invite))
    this.#byName = new Map()
    this.#byLowerCase = new Map()
    this.#byKey = new Map()
    this.#curveKeys = new Set()
    this.#users = new Map(revoked.map((keys) => [keys.invite, keys]))
    for (const entry of this.#sites) this.#index(entry)
  }

  /** A site more: with thousands that come at once, all of them anew for each would take minutes. */
  #insert(entry: ApprovedSite): void {
    const sites = [...this.#sites] // whoever holds the list of a moment ago keeps that one
    const after = sites.findLastIndex(({ site }) => site < entry.site)
    sites.splice(after + 1, 0, entry)
    this.#sites = sites
    this.#index(entry)
  }

  #index(entry: ApprovedSite): void {
    this.#byName.set(entry.site, entry)
    this.#byLowerCase.set(entry.site.toLowerCase(), entry)
    for (const keys of [entry, ...(entry.formerKeys ?? [])]) this.#users.set(keys.invite, { ...keys, site: entry.site })
    if (entry.rotating) return
    this.#byKey.set(entry.signingKey, entry)
    this.#curveKeys.add(entry.curveKey)
  }

  #changeInvites(invites: IssuedInvite[]): void {
    this.#invites = invites
    this.#inviteOfId = new Map(invites.map((invite) => [invite.keys.id, invite]))
    this.#inviteOfCurve = new Map(invites.map((invite) => [invite.keys.curvePublic.toString('base64url'), invite]))
  }

  /** Unused, and for new keys of a site that was revoked: what that was approved with bounds nothing any more. */
  #isOrphan(invite: IssuedInvite): boolean {
    return invite.site !== undefined && !this.#isUsed(invite) && !this.siteOf(invite.site)
  }

  #isUsed(invite: IssuedInvite): boolean {
    return this.#users.has(invite.keys.id)
  }
}

function keysOf({ fingerprint, signingKey, curveKey, invite }: z.infer<typeof KeysSchema>): z.infer<typeof KeysSchema> {
  return { fingerprint, signingKey, curveKey, invite }
}

function issue({ secret, expires, site, request }: z.infer<typeof InvitesFileSchema>['invites'][number]): IssuedInvite {
  const bytes = Buffer.from(secret, 'base64url')
  return { secret: bytes, keys: enrolmentKeys(bytes), expires: new Date(expires), site, request }
}

function readJson<S extends z.ZodType>(path: string, schema: S): z.infer<S> | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw explainReadError(error, path)
  }
  try {
    return schema.parse(JSON.parse(text))
  } catch (error) {
    throw new MeshflError('SITES_FILE_MALFORMED', `${path} cannot be read: ${(error as Error).message}`, {
      hint: 'restore it from a backup, or remove it: then every site must be invited again',
      data: { path },
      cause: error,
    })
  }
}
