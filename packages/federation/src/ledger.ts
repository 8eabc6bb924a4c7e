import { canonicalJson, sha256 } from '@meshfl/core'
import { z } from 'zod'
import { type Identity, verifySignature, verifySignatureLater } from './identity.js'
import { SiteNameSchema } from './messages.js'

const hash = z.string().regex(/^[0-9a-f]{64}$/)
const signature = z.string().regex(/^[A-Za-z0-9_-]{86}$/)

/** One round. `previous` is the hash of the line before, without its line end; 64 zeros in the first. */
const LedgerEntrySchema = z.strictObject({
  run: hash,
  round: z.int().min(1),
  /** Hash of the model that the sites trained from, and of what came out. */
  base: hash,
  result: hash,
  /** With `sync: step`: steps of a round; `round` then counts steps. */
  steps: z.int().min(1).optional(),
  /** Empty in a step that was passed over: it changes nothing. */
  sites: z.array(
    z.strictObject({
      site: SiteNameSchema,
      /** The site's Ed25519 key, base64url. */
      key: z.string(),
      update: hash,
      /** Of what the strategy asked for beside the update. */
      vectorSha256: hash.optional(),
      samples: z.int().min(1),
      /** With `sync: step`: the weight of its batch statistics. An earlier version took steps without it. */
      voxels: z.int().min(1).optional(),
      signature,
    }),
  ),
  leftOut: z.array(z.strictObject({ site: SiteNameSchema, reason: z.string() })),
  previous: hash,
  signature,
})
export type LedgerEntry = z.infer<typeof LedgerEntrySchema>

export const NO_PREVIOUS = '0'.repeat(64)

/** What a site signs of its update: nothing that a second attempt would change. */
export interface UpdateClaim {
  run: string
  round: number
  site: string
  base: string
  samples: number
  update: string
  /** Of what the strategy asks for beside the update. */
  vectorSha256?: string | undefined
  /** With `sync: step`: voxels that the batch statistics were taken over. */
  voxels?: number | undefined
}

function claimBytes({ run, round, site, base, samples, update, vectorSha256, voxels }: UpdateClaim): Buffer {
  // Canonical JSON, written with its keys in order: every update is signed and checked with it.
  const claim = { base, round, run, samples, site, update, vectorSha256, voxels }
  return Buffer.from(`meshfl/1 update\0${JSON.stringify(claim)}`)
}

/** A site's signature of its update, base64url. */
export function signUpdate(identity: Identity, claim: UpdateClaim): string {
  return identity.sign(claimBytes(claim)).toString('base64url')
}

export function verifyUpdate(signingPublic: Uint8Array, claim: UpdateClaim, signed: string): boolean {
  return verifySignature(signingPublic, claimBytes(claim), Buffer.from(signed, 'base64url'))
}

/** The same beside other work. */
export function verifyUpdateLater(signingPublic: Uint8Array, claim: UpdateClaim, signed: string): Promise<boolean> {
  return verifySignatureLater(signingPublic, claimBytes(claim), Buffer.from(signed, 'base64url'))
}

/** A round as a line of the ledger, signed by the coordinator. Same round, same line: no time is in it. */
export function writeLedgerLine(identity: Identity, entry: Omit<LedgerEntry, 'signature'>): string {
  return canonicalJson({ ...entry, signature: identity.sign(entryBytes(entry)).toString('base64url') })
}

function entryBytes(entry: Omit<LedgerEntry, 'signature'>): Buffer {
  return Buffer.from(`meshfl/1 ledger\0${canonicalJson(entry)}`)
}

export interface LedgerVerdict {
  ok: boolean
  /** Rounds that are right, from the first on. */
  rounds: number
  /** What is wrong with the first line that is, and which round it should be. */
  problem?: string
  round?: number
}

/**
 * Checks a ledger: every line's schema, chain, the coordinator's signature and each site's own. Lines without their line ends.
 * @param coordinatorPublicKey raw 32 bytes of its Ed25519 key
 */
export function verifyLedger(lines: readonly string[], coordinatorPublicKey: Uint8Array): LedgerVerdict {
  let previous = NO_PREVIOUS
  let last: LedgerEntry | undefined
  for (const [rounds, line] of lines.entries()) {
    const problem = (what: string): LedgerVerdict => ({
      ok: false,
      rounds,
      problem: `line ${rounds + 1}: ${what}`,
      round: rounds + 1,
    })
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      return problem('not JSON')
    }
    const parsed = LedgerEntrySchema.safeParse(value)
    if (!parsed.success) return problem(z.prettifyError(parsed.error))
    const { signature: signed, ...entry } = parsed.data
    // One round, one line: other spaces, an order of keys or a second spelling of a signature's last letter are no other ledger.
    if (canonicalJson(value) !== line || !isCanonical(signed)) return problem('it is not as the coordinator writes it')
    if (!verifySignature(coordinatorPublicKey, entryBytes(entry), Buffer.from(signed, 'base64url')))
      return problem('the coordinator’s signature is wrong')
    if (entry.previous !== previous) return problem('it does not follow the line before')
    if (entry.round !== rounds + 1) return problem(`round ${entry.round} where ${rounds + 1} is due`)
    if (last && (entry.base !== last.result || entry.run !== last.run))
      return problem('its base is not the result of the round before')
    if (entry.sites.length === 0 && entry.result !== entry.base) return problem('it has another model and no update')
    for (const one of entry.sites) {
      const claim = { ...one, run: entry.run, round: entry.round, base: entry.base }
      if (!verifyUpdate(Buffer.from(one.key, 'base64url'), claim, one.signature))
        return problem(`the signature of ${one.site} is wrong`)
    }
    if (new Set(entry.sites.map(({ site }) => site)).size !== entry.sites.length) return problem('a site counts twice')
    previous = sha256(line)
    last = parsed.data
  }
  return { ok: true, rounds: lines.length }
}

/** Whether base64url has one spelling only: the bits that its last letter holds too many are 0. */
function isCanonical(text: string): boolean {
  return Buffer.from(text, 'base64url').toString('base64url') === text
}

/** The rounds of a ledger that was verified. */
export function readLedger(lines: readonly string[]): LedgerEntry[] {
  return lines.map((line) => LedgerEntrySchema.parse(JSON.parse(line)))
}
