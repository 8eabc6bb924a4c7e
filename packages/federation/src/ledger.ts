import { canonicalJson, sha256 } from '@meshfl/core'
import { z } from 'zod'
import { type Identity, verifySignature } from './identity.js'
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
  sites: z.array(
    z.strictObject({
      site: SiteNameSchema,
      /** The site's Ed25519 key, base64url. */
      key: z.string(),
      update: hash,
      /** Of what the strategy asked for beside the update. */
      vectorSha256: hash.optional(),
      samples: z.int().min(1),
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
}

function claimBytes({ run, round, site, base, samples, update, vectorSha256 }: UpdateClaim): Buffer {
  return Buffer.from(`meshfl/1 update\0${canonicalJson({ run, round, site, base, samples, update, vectorSha256 })}`)
}

/** A site's signature of its update, base64url. */
export function signUpdate(identity: Identity, claim: UpdateClaim): string {
  return identity.sign(claimBytes(claim)).toString('base64url')
}

export function verifyUpdate(signingPublic: Uint8Array, claim: UpdateClaim, signed: string): boolean {
  return verifySignature(signingPublic, claimBytes(claim), Buffer.from(signed, 'base64url'))
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
  /** What is wrong with the first line that is. */
  problem?: string
}

/**
 * Checks a ledger: every line's schema, chain, the coordinator's signature and each site's own. Lines without their line ends.
 * @param coordinatorPublicKey raw 32 bytes of its Ed25519 key
 */
export function verifyLedger(lines: readonly string[], coordinatorPublicKey: Uint8Array): LedgerVerdict {
  let previous = NO_PREVIOUS
  let last: LedgerEntry | undefined
  for (const [rounds, line] of lines.entries()) {
    const problem = (what: string): LedgerVerdict => ({ ok: false, rounds, problem: `line ${rounds + 1}: ${what}` })
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      return problem('not JSON')
    }
    const parsed = LedgerEntrySchema.safeParse(value)
    if (!parsed.success) return problem(z.prettifyError(parsed.error))
    const { signature: signed, ...entry } = parsed.data
    if (!verifySignature(coordinatorPublicKey, entryBytes(entry), Buffer.from(signed, 'base64url')))
      return problem('the coordinator’s signature is wrong')
    if (entry.previous !== previous) return problem('it does not follow the line before')
    if (entry.round !== rounds + 1) return problem(`round ${entry.round} where ${rounds + 1} is due`)
    if (last && (entry.base !== last.result || entry.run !== last.run))
      return problem('its base is not the result of the round before')
    for (const { site, key, update, vectorSha256, samples, signature: updateSignature } of entry.sites) {
      const claim = { run: entry.run, round: entry.round, site, base: entry.base, samples, update, vectorSha256 }
      if (!verifyUpdate(Buffer.from(key, 'base64url'), claim, updateSignature))
        return problem(`the signature of ${site} is wrong`)
    }
    if (new Set(entry.sites.map(({ site }) => site)).size !== entry.sites.length) return problem('a site counts twice')
    previous = sha256(line)
    last = parsed.data
  }
  return { ok: true, rounds: lines.length }
}
