import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { canonicalJson, MeshflError, type SiteDescription, type Study, writeFileAtomic } from '@meshfl/core'
import { z } from 'zod'
import { fingerprint } from './identity.js'
import { type EnrolmentKeys, enrolmentKeys } from './invite.js'
import { SiteDescriptionSchema, SiteNameSchema } from './messages.js'

/** So long after its end an invite still opens a connection, on which its owner is told so; nothing else. */
const EXPLAIN_MS = 24 * 3600 * 1000

const SiteEntrySchema = z.strictObject({
  site: SiteNameSchema,
  fingerprint: z.string(),
  signingKey: z.string(),
  curveKey: z.string(),
  /** The invite that it came with: used by that. */
  invite: z.string(),
  approved: z.string(),
  description: SiteDescriptionSchema,
})
const SitesFileSchema = z.strictObject({ format: z.literal('meshfl-sites/1'), sites: z.array(SiteEntrySchema) })
const InvitesFileSchema = z.strictObject({
  format: z.literal('meshfl-invites/1'),
  invites: z.array(z.strictObject({ secret: z.string(), expires: z.string() })),
})
export type ApprovedSite = z.infer<typeof SiteEntrySchema>

export interface IssuedInvite {
  secret: Buffer
  keys: EnrolmentKeys
  expires: Date
}

/** A refusal in words that the site shows to its user. */
export interface Refusal {
  code: string
  reason: string
}

/** Who may come in: sites.json (approved sites, by their keys) and keys/invites.json (secrets, readable by the owner only). */
export class Admissions {
  readonly #folder: string
  #sites: ApprovedSite[] = []
  #invites: IssuedInvite[] = []
  #written: Promise<void> = Promise.resolve()

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** @throws MeshflError `SITES_FILE_MALFORMED` */
  static open(folder: string): Admissions {
    const admissions = new Admissions(folder)
    admissions.#sites = readJson(admissions.#sitesPath, SitesFileSchema)?.sites ?? []
    const invites = readJson(admissions.#invitesPath, InvitesFileSchema)?.invites ?? []
    admissions.#invites = invites.map(({ secret, expires }) => issue(Buffer.from(secret, 'base64url'), expires))
    return admissions
  }

  get sites(): readonly ApprovedSite[] {
    return this.#sites
  }

  /** Invites that nobody has used and that still hold. */
  unusedInvites(now: Date): IssuedInvite[] {
    return this.#invites.filter((invite) => invite.expires > now && !this.#userOf(invite.keys.id))
  }

  /** Issues invites until there is one for each of `sites` that is not approved yet. */
  async ensureInvites(sites: number, now: Date, ttlSeconds: number): Promise<void> {
    const missing = sites - this.#sites.length - this.unusedInvites(now).length
    if (missing <= 0) return
    const expires = new Date(now.getTime() + ttlSeconds * 1000).toISOString()
    for (let i = 0; i < missing; i++) this.#invites.push(issue(randomBytes(16), expires))
    const invites = this.#invites.map((invite) => ({
      secret: invite.secret.toString('base64url'),
      expires: invite.expires.toISOString(),
    }))
    const file = { format: 'meshfl-invites/1', invites }
    await writeFileAtomic(this.#invitesPath, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 })
  }

  /** Whether a CURVE key may connect: an approved site's, or one derived from an invite (which may only enrol). */
  admits(curvePublic: Buffer, now: Date): boolean {
    const key = curvePublic.toString('base64url')
    return (
      this.#sites.some((site) => site.curveKey === key) ||
      this.#invites.some(({ keys, expires }) => {
        return now.getTime() < expires.getTime() + EXPLAIN_MS && keys.curvePublic.equals(curvePublic)
      })
    )
  }

  siteOf(site: string): ApprovedSite | undefined {
    return this.#sites.find((known) => known.site === site)
  }

  siteOfKey(signingKey: string): ApprovedSite | undefined {
    return this.#sites.find((site) => site.signingKey === signingKey)
  }

  invite(id: string | undefined): IssuedInvite | undefined {
    return this.#invites.find((invite) => invite.keys.id === id)
  }

  /** Why an invite does not hold for this key, if so. */
  refuseInvite(invite: IssuedInvite, signingKey: string, now: Date): Refusal | undefined {
    const user = this.#userOf(invite.keys.id)
    if (user) {
      if (user.signingKey === signingKey) return undefined
      return { code: 'INVITE_USED', reason: `the invite was used by ${user.site} (${user.fingerprint})` }
    }
    if (invite.expires > now) return undefined
    return { code: 'INVITE_EXPIRED', reason: `the invite expired at ${invite.expires.toISOString()}` }
  }

  /** Why a site with this key and description cannot take part, if so: both values are named. */
  refuseDescription(description: SiteDescription, signingKey: string, study: Study): Refusal | undefined {
    const refuse = (reason: string): Refusal => ({ code: 'FEDERATION_DENIED', reason })
    const { site } = description
    // The name becomes a file's: where a file system does not tell cases apart, two such sites would write the same one.
    const namesake = this.#sites.find((other) => other.site.toLowerCase() === site.toLowerCase())
    if (namesake && namesake.signingKey !== signingKey)
      return refuse(
        `another site is called ${namesake.site} (${namesake.fingerprint}): every site needs a name of its own (meshfl split --name)`,
      )
    const known = this.siteOfKey(signingKey)
    if (known && known.site !== site) return refuse(`this key was approved as ${known.site}, it now says ${site}`)
    const { trainCases, validCases } = description
    const was = known?.description
    // They are its weight in the average, and that was approved.
    if (was && (trainCases > was.trainCases || validCases > was.validCases))
      return refuse(
        `${site} has ${trainCases} training and ${validCases} validation cases, it was admitted with ${was.trainCases} and ${was.validCases}`,
      )
    if (trainCases < 1) return refuse(`${site} has no training cases`)
    if (description.classes !== study.model.classes)
      return refuse(`${site} has ${description.classes} classes, the study ${study.model.classes}`)
    const names = description.classNames
    if (canonicalJson(names) !== canonicalJson(study.classNames))
      return refuse(`${site} has the classes ${names.join(', ')}, the study ${study.classNames.join(', ')}`)
    // What the study leaves out is as at the first admitted site: for that site too, should its dataset have changed.
    const first = this.#sites[0]
    const whose = (asked: unknown): string =>
      asked !== undefined ? 'the study has' : first?.site === site ? 'it was admitted with' : `${first?.site} has`
    const labelMap = study.labelMap ?? first?.description.labelMap ?? description.labelMap
    if (description.labelMap !== labelMap)
      return refuse(`${site} has the label map ${description.labelMap}, ${whose(study.labelMap)} ${labelMap}`)
    const voxelSize = study.voxelSizeMm ?? first?.description.voxelSizeMm ?? description.voxelSizeMm
    if (Math.abs(description.voxelSizeMm - voxelSize) > 1e-6 * voxelSize)
      return refuse(`${site} has voxels of ${description.voxelSizeMm} mm, ${whose(study.voxelSizeMm)} ${voxelSize} mm`)
    const { mode } = study.conform ?? first?.description.conform ?? description.conform
    if (description.conform.mode !== mode)
      return refuse(`${site} was conformed with ${description.conform.mode}, ${whose(study.conform)} ${mode}`)
    return undefined
  }

  /** Writes an approved site down; when it resolves, it is on disk. */
  async approve(
    keys: { signingKey: string; curveKey: string },
    invite: string,
    description: SiteDescription,
    now: Date,
  ): Promise<void> {
    const entry: ApprovedSite = {
      site: description.site,
      fingerprint: fingerprint(Buffer.from(keys.signingKey, 'base64url')),
      ...keys,
      invite,
      approved: now.toISOString(),
      description,
    }
    this.#sites = [...this.#sites, entry].sort((a, b) => (a.site < b.site ? -1 : 1))
    const file = { format: 'meshfl-sites/1', sites: this.#sites }
    // One after the other: two renames may not change places.
    this.#written = this.#written.then(() => writeFileAtomic(this.#sitesPath, `${JSON.stringify(file, null, 2)}\n`))
    await this.#written
  }

  #userOf(invite: string): ApprovedSite | undefined {
    return this.#sites.find((site) => site.invite === invite)
  }

  get #sitesPath(): string {
    return join(this.#folder, 'sites.json')
  }

  get #invitesPath(): string {
    return join(this.#folder, 'keys', 'invites.json')
  }
}

function issue(secret: Buffer, expires: string): IssuedInvite {
  return { secret, keys: enrolmentKeys(secret), expires: new Date(expires) }
}

function readJson<S extends z.ZodType>(path: string, schema: S): z.infer<S> | undefined {
  if (!existsSync(path)) return undefined
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (error) {
    throw new MeshflError('SITES_FILE_MALFORMED', `${path} cannot be read: ${(error as Error).message}`, {
      hint: 'restore it from a backup, or remove it: then every site must be invited again',
      data: { path },
      cause: error,
    })
  }
}
