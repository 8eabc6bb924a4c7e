import { DiceSchema, StudySchema } from '@meshfl/core'
import { z } from 'zod'

/** Of the protocol: MFP/1. */
export const PROTOCOL_VERSION = 1

const v = z.literal(PROTOCOL_VERSION)
const key = z.string().regex(/^[A-Za-z0-9_-]{43}$/) // 32 bytes, base64url
const nonce = key
const hash = z.string().regex(/^[0-9a-f]{64}$/)
/** In hexadecimal, and over the line in base64url. */
const base = key.transform((text) => Buffer.from(text, 'base64url').toString('hex'))
const signature = z.string().regex(/^[A-Za-z0-9_-]{86}$/) // 64 bytes, base64url
const count = z.int().min(0).max(0xffff_ffff)
const round = count
/** Letters of a reason. */
export const MAX_WORDS = 1000
const words = z.string().max(MAX_WORDS)
const purpose = z.enum(['train', 'evaluate'])
const voxels = z.int().min(1).max(4096)

/** With scaffold: what an update's vector is; see `sayWholeControls`. */
const controls = z.string().max(16).optional()

/** A site's name: it becomes part of file names and of what people read. */
export const SiteNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)

const ConformSchema = z.object({
  mode: z.enum(['freesurfer', 'niivue', 'none']),
  shape: z.tuple([voxels, voxels, voxels]),
  /** Of scans that were left as they lie (`none`); sites of the version before do not tell. */
  orientation: z.string().length(3).optional(),
})

/** What the sites' datasets have in common, as the model files say it. */
export const DataKeysSchema = z.object({
  conform: ConformSchema.optional(),
  voxelSizeMm: z.number().positive().optional(),
  labelMap: words.optional(),
})

/** What a site says of itself when it joins. */
export const SiteDescriptionSchema = z.object({
  site: SiteNameSchema,
  trainCases: count,
  validCases: count,
  classes: count,
  classNames: z.array(z.string().max(64)).max(128),
  labelMap: z.string().max(200),
  voxelSizeMm: z.number().positive(),
  conform: ConformSchema,
  engine: z.string().max(200),
  instructionSet: z.string().max(200),
  /** Absent at the version before it was said: it knew nothing else. */
  precision: z.string().max(20).default('fp32'),
  version: z.string().max(64).optional(),
  findings: count.optional(),
  plannedBytes: z.int().min(0).optional(),
  memoryBytes: z.int().min(0).optional(),
})

/** What a site works on. */
const WorkSchema = z.object({ purpose, round, base })
export type Work = z.infer<typeof WorkSchema>

const ProgressSchema = z.object({
  step: count,
  steps: count,
  loss: z.number().nullable(),
  learningRate: z.number(),
  seconds: z.number().min(0),
})

const PlaceSchema = z.object({ round, step: count, steps: count })

/** Every message's header. Bodies follow in frames of their own; see `BODIES`. */
export const HEADERS = {
  HELLO: z.object({
    v,
    type: z.literal('HELLO'),
    purpose: z.enum(['enrol', 'work']),
    signingKey: key,
    curveKey: key,
    nonce,
    invite: z
      .string()
      .regex(/^[0-9a-f]{16}$/)
      .optional(),
  }),
  CHALLENGE: z.object({
    v,
    type: z.literal('CHALLENGE'),
    nonce,
    /** The routing id that the coordinator sees: a login answers for this connection only. */
    session: z.string().regex(/^([0-9a-f]{2}){1,255}$/),
    run: hash,
    study: hash,
  }),
  AUTH: z.object({ v, type: z.literal('AUTH'), proof: hash.optional() }),
  WELCOME: z.object({ v, type: z.literal('WELCOME'), run: hash, study: hash, layout: hash, controls }),
  JOIN: z.object({
    v,
    type: z.literal('JOIN'),
    working: WorkSchema.nullable(),
    /** Whether the site may go on with another engine, instruction set or precision than it was admitted with. */
    allowsEngineChange: z.boolean().optional(),
    controls,
  }),
  ADMIT: z.object({ v, type: z.literal('ADMIT'), site: SiteNameSchema, reconnect: z.boolean() }),
  DENY: z.object({ v, type: z.literal('DENY'), code: z.string().max(64), reason: words }),
  TASK: z.object({
    v,
    type: z.literal('TASK'),
    purpose,
    round,
    base,
    /** With `sync: step`: where `round`, which then counts steps, stands. */
    place: PlaceSchema.optional(),
    /** Of an evaluation: the model is scored as it is, without what the site keeps of its own. */
    asIs: z.boolean().optional(),
    /** Of the vector behind the model, where the strategy sends one. */
    vectorSha256: hash.optional(),
  }),
  RESULT: z.object({
    v,
    type: z.literal('RESULT'),
    purpose,
    round,
    base,
    /** Training volumes, or validation cases. */
    samples: count,
    /** Of the vector behind the metrics, where the strategy asks for one. */
    vectorSha256: hash.optional(),
    /** With `sync: step`: voxels that the batch statistics were taken over, as in the metrics. */
    voxels: z.int().min(1).optional(),
    /** Of a train result only: over (run, round, site, base, samples, update, and where they are there the vector's hash and the voxels): what the ledger keeps. */
    updateSignature: signature.optional(),
  }),
  ACK: z.object({
    v,
    type: z.literal('ACK'),
    purpose,
    round,
    base,
    status: z.enum(['accepted', 'duplicate', 'stale', 'rejected']),
    reason: words.optional(),
  }),
  PING: z.object({
    v,
    type: z.literal('PING'),
    working: WorkSchema.nullable(),
    progress: ProgressSchema.optional(),
  }),
  PONG: z.object({ v, type: z.literal('PONG') }),
  ERROR: z.object({ v, type: z.literal('ERROR'), phase: z.string().max(64), message: words }),
  WHO: z.object({ v, type: z.literal('WHO') }),
  DONE: z.object({
    v,
    type: z.literal('DONE'),
    run: hash,
    rounds: count,
    result: hash,
    best: z.object({ round, foregroundDice: z.number() }).nullable(),
  }),
  BYE: z.object({ v, type: z.literal('BYE'), reason: words }),
} as const

export type MessageType = keyof typeof HEADERS
export type Header<T extends MessageType = MessageType> = { [K in T]: z.infer<(typeof HEADERS)[K]> }[T]

/**
 * Body frames of each message. A `vector` has one float a parameter, and is there where the header has its hash: scaffold's control
 * variates, the gradients of meshfl-reference.
 */
export const BODIES: Record<MessageType, readonly ('model' | 'json' | 'text' | 'vector')[]> = {
  HELLO: [],
  CHALLENGE: [],
  AUTH: [],
  WELCOME: ['json', 'json'], // the study, the layout
  JOIN: ['json'], // the site's description
  ADMIT: [],
  DENY: [],
  TASK: ['model', 'vector'], // the model of length 0 where the site was sent it a moment ago
  RESULT: ['model', 'json', 'vector'], // the update (of length 0 when evaluating), the metrics
  ACK: [],
  PING: [],
  PONG: [],
  ERROR: ['text'],
  WHO: [],
  DONE: ['model', 'json'], // and the data keys of its file
  BYE: [],
}

export const MAX_JSON_BYTES = 512 * 1024
export const MAX_TEXT_BYTES = 16 * 1024
/**
 * Of a site's description: 128 class names of 64 letters of three bytes take 25 KB. Whoever holds an invite may send one, approved or not, and its
 * elements are looked at one by one: of half a megabyte they would keep the coordinator for a quarter of a second.
 */
export const MAX_DESCRIPTION_BYTES = 32 * 1024

/** The metrics beside an update. */
export const TrainMetricsSchema = z.object({
  loss: z.number().nullable(),
  dice: DiceSchema,
  seconds: z.number().min(0),
  /** With `sync: step`: voxels that the batch statistics were taken over. */
  voxels: z.int().min(1).optional(),
})
export type TrainMetrics = z.infer<typeof TrainMetricsSchema>

/** The metrics of an evaluation. */
export const EvaluationSchema = z.object({
  loss: z.number().nullable(),
  dice: DiceSchema,
  /** Cases that have each class; sites of the version before do not tell. */
  casesPerClass: z.record(z.string(), count).optional(),
})

const TensorSchema = z.object({
  name: z.string().max(256),
  shape: z.array(z.int().min(1).max(0xffff)).max(8),
  offset: count,
})

/** The first body of WELCOME. */
export const StudyBodySchema = StudySchema
/** The second body of WELCOME; its hash is that of { parameters, statistics }. */
export const LayoutBodySchema = z.object({
  parameters: z.array(TensorSchema).max(4096),
  statistics: z.array(TensorSchema).max(4096),
})
