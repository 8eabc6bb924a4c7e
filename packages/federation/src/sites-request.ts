import { z } from 'zod'
import { SiteNameSchema } from './messages.js'

/** As long as the command line lets an invite hold: ten years. */
const MOST_SECONDS = 10 * 366 * 86_400
const seconds = z.number().positive().max(MOST_SECONDS)
/** A name, a fingerprint or an invite. */
const named = z.string().max(1000)

/** What the operator of a coordinator asks about its sites. */
export const SitesRequestSchema = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('list') }),
  z.strictObject({ action: z.literal('invite'), count: z.int().min(1).max(10_000), expiresSeconds: seconds }),
  /** `site`: the name or the fingerprint of a site that waits. */
  z.strictObject({ action: z.literal('approve'), site: named }),
  /** `site`: its name or its fingerprint, or an invite that nobody has used. */
  z.strictObject({ action: z.literal('revoke'), site: named }),
  /** Every site's last model at every site, after the round in progress. */
  z.strictObject({ action: z.literal('cross-site') }),
  z.strictObject({ action: z.literal('rotate'), site: SiteNameSchema, expiresSeconds: seconds }),
])
export type SitesRequest = z.infer<typeof SitesRequestSchema>

const SiteLineSchema = z.strictObject({
  site: SiteNameSchema,
  /** `asking`: waits for approval. `rotating`: waits for its new keys. `away`: approved; no coordinator runs, or it is not there. */
  state: z.enum(['asking', 'online', 'suspect', 'lost', 'left', 'failed', 'done', 'away', 'rotating', 'revoked']),
  fingerprint: z.string(),
  /** When it was approved or revoked, or began to ask. */
  since: z.string(),
  trainCases: z.int().optional(),
  validCases: z.int().optional(),
  engine: z.string().optional(),
})
export type SiteLine = z.infer<typeof SiteLineSchema>

export const SitesAnswerSchema = z.strictObject({
  /** All of them after `list`; else the one that changed. */
  sites: z.array(SiteLineSchema),
  /** Those that hold and that nobody has used after `list`; else the new ones. `site`: whose keys it replaces. */
  invites: z.array(z.strictObject({ invite: z.string(), expires: z.string(), site: SiteNameSchema.optional() })),
  /** What will happen, where that is not there yet. */
  note: z.string().optional(),
})
export type SitesAnswer = z.infer<typeof SitesAnswerSchema>
