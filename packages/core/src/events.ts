import { z } from 'zod'

/** Dice of every class by its name, and the mean over the classes without background. Null: the class is in neither volume. */
export const DiceSchema = z.strictObject({
  perClass: z.record(z.string(), z.number().nullable()),
  foregroundDice: z.number().nullable(),
})
export type Dice = z.infer<typeof DiceSchema>

/** A model, by the site that trained it, on the validation cases of a site. */
export const CrossScoreSchema = z.strictObject({
  model: z.string(),
  site: z.string(),
  cases: z.int(),
  loss: z.number().nullable(),
  dice: DiceSchema,
})
export type CrossScore = z.infer<typeof CrossScoreSchema>

const SiteStateSchema = z.enum([
  'joining',
  'online',
  'training',
  'evaluating',
  'waiting',
  'suspect',
  'lost',
  'left',
  'done',
  'failed',
])
export type SiteState = z.infer<typeof SiteStateSchema>
export const SITE_STATES: readonly SiteState[] = SiteStateSchema.options

const time = z.string() // ISO 8601, UTC
const site = z.string()
const round = z.int().min(0)

/**
 * Everything that a run tells: what views are drawn from, what events.jsonl holds, and what `--json` prints. The training
 * progress (`step`, `site-trained`), the application of updates (`update-applied`) and the Dice (`site-evaluated`,
 * `round-finished`) are what the paper calls the GenericLogger.
 */
export const EventSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('run-started'),
    time,
    command: z.string(),
    run: z.string(),
    rounds: z.int(),
    sites: z.int(),
    engine: z.string(),
    device: z.string(),
    resumedAtRound: round.optional(),
    path: z.string(),
  }),
  /** What the engine's buffers take, as planned when a session is opened. */
  z.object({
    type: z.literal('memory-planned'),
    time,
    engine: z.string(),
    purpose: z.enum(['train', 'predict']),
    /** Voxels along x, y, z. */
    shape: z.tuple([z.int(), z.int(), z.int()]),
    batchSize: z.int(),
    plannedBytes: z.int(),
    limitBytes: z.int(),
    /** Blocks of the model, and those, counted from 0, that a training step computes again. */
    blocks: z.int(),
    recomputedBlocks: z.array(z.int()),
  }),
  z.object({ type: z.literal('site-state'), time, site, state: SiteStateSchema, reason: z.string().optional() }),
  z.object({ type: z.literal('round-started'), time, round, rounds: z.int(), sites: z.array(site) }),
  z.object({
    type: z.literal('step'),
    time,
    site,
    round,
    step: z.int(),
    steps: z.int(),
    loss: z.number(),
    learningRate: z.number().optional(),
    seconds: z.number().optional(),
    /** Of these, those in which the engine waited for the step's volumes. */
    dataSeconds: z.number().optional(),
  }),
  /** A site has finished its local training of a round. */
  z.object({
    type: z.literal('site-trained'),
    time,
    site,
    round,
    loss: z.number().nullable(),
    dice: DiceSchema,
    samples: z.int(),
    seconds: z.number(),
    updateSha256: z.string(),
    bytes: z.int().optional(),
  }),
  /** The sites' updates became the next global model. */
  z.object({
    type: z.literal('update-applied'),
    time,
    round,
    parametersSha256: z.string(),
    sites: z.array(site),
    leftOut: z.array(z.object({ site, reason: z.string() })),
  }),
  /** A site has scored the global model on its validation cases. */
  z.object({
    type: z.literal('site-evaluated'),
    time,
    site,
    round,
    loss: z.number().nullable(),
    dice: DiceSchema,
    cases: z.int(),
  }),
  z.object({
    type: z.literal('round-finished'),
    time,
    round,
    rounds: z.int(),
    trainLoss: z.number().nullable(),
    trainDice: DiceSchema.nullable(),
    validLoss: z.number().nullable(),
    validDice: DiceSchema.nullable(),
    parametersSha256: z.string(),
    seconds: z.number(),
    secondsLeft: z.number().nullable(),
  }),
  /** Every site's last model, and the global one, on every site's validation cases. */
  z.object({ type: z.literal('cross-site'), time, round, scores: z.array(CrossScoreSchema) }),
  z.object({ type: z.literal('best'), time, round, foregroundDice: z.number() }),
  /**
   * Bytes so far, seen from whoever tells it: in the TCP stream, with encryption and framing; and of them the payload (models,
   * scores). With `round`: as it was at the end of that round.
   */
  z.object({
    type: z.literal('traffic'),
    time,
    site,
    round: round.optional(),
    bytesSent: z.int(),
    bytesReceived: z.int(),
    payloadSent: z.int().optional(),
    payloadReceived: z.int().optional(),
  }),
  z.object({
    type: z.literal('log'),
    time,
    level: z.enum(['debug', 'info', 'warn', 'error']),
    message: z.string(),
    site: site.optional(),
  }),
  z.object({
    type: z.literal('progress'),
    time,
    task: z.string(),
    done: z.number(),
    total: z.number(),
    unit: z.string(),
  }),
  // Results: the last line that a command prints with --json (specs: what scripts may rely on).
  z.object({ type: z.literal('invite'), invite: z.string(), expires: z.string().optional() }),
  /** What `meshfl sites` answers: the sites that were asked about or changed, and invites. */
  z.object({
    type: z.literal('sites'),
    action: z.string(),
    sites: z.array(
      z.object({
        site,
        state: z.string(),
        fingerprint: z.string(),
        since: z.string(),
        trainCases: z.int().optional(),
        validCases: z.int().optional(),
        engine: z.string().optional(),
      }),
    ),
    invites: z.array(z.object({ invite: z.string(), expires: z.string(), site: site.optional() })),
    /** What will happen, where that is not there yet. */
    note: z.string().optional(),
  }),
  /** One round on all sites, and what it says of the run to come. */
  z.object({
    type: z.literal('canary'),
    /** Whether there is nothing to look at. */
    ok: z.boolean(),
    rounds: z.int(),
    roundSeconds: z.number(),
    runSeconds: z.number(),
    sites: z.array(
      z.object({
        site,
        engine: z.string(),
        version: z.string().optional(),
        trainCases: z.int(),
        validCases: z.int(),
        findings: z.int().optional(),
        /** Memory of a training step, and of the machine. */
        plannedBytes: z.int().optional(),
        memoryBytes: z.int().optional(),
        stepSeconds: z.number().optional(),
        trainSeconds: z.number().optional(),
        evaluateSeconds: z.number().optional(),
        warnings: z.array(z.string()),
      }),
    ),
  }),
  z.object({ type: z.literal('study'), path: z.string() }),
  /** A model of another tool, imported. */
  z.object({
    type: z.literal('model'),
    path: z.string(),
    format: z.string(),
    parameters: z.int(),
    parametersSha256: z.string(),
    /** What neither its file nor the options say of it. */
    assumed: z.array(z.string()),
  }),
  z.object({
    type: z.literal('export'),
    format: z.string(),
    path: z.string(),
    /** The order of axes of the volumes that it is for. */
    axes: z.enum(['xyz', 'zyx']),
    parametersSha256: z.string(),
  }),
  z.object({
    type: z.literal('audit'),
    /** Rounds that are right, from the first on. */
    rounds: z.int(),
    ok: z.boolean(),
    /** Rounds that were computed again, and model files that were found right. */
    replayed: z.int(),
    models: z.int(),
    /** The coordinator's public key, base64url. */
    key: z.string(),
    problem: z.object({ round, what: z.string() }).optional(),
    note: z.string().optional(),
  }),
  z.object({
    type: z.literal('experiment'),
    cases: z.int(),
    seeds: z.array(z.int()),
    /** In the file's order; `sd` is over the seeds, `difference` from the first arm. */
    arms: z.array(
      z.object({
        name: z.string(),
        foregroundDice: z.number().nullable(),
        sd: z.number().nullable(),
        difference: z.number().nullable(),
      }),
    ),
    path: z.string(),
  }),
  z.object({ type: z.literal('brains'), count: z.int(), path: z.string() }),
  z.object({
    type: z.literal('dataset'),
    cases: z.int(),
    splits: z.object({ train: z.int(), valid: z.int(), test: z.int() }),
    folds: z.int().optional(),
    sites: z.int(),
    path: z.string(),
    findings: z.int().optional(),
    leftOut: z.array(z.string()).optional(),
  }),
  z.object({
    type: z.literal('done'),
    rounds: z.int(),
    parametersSha256: z.string(),
    best: z.object({ round, foregroundDice: z.number() }).nullable(),
    path: z.string(),
    /** Of a federation: bytes to and from all sites over the whole run. */
    traffic: z
      .object({
        bytesSent: z.int(),
        bytesReceived: z.int(),
        payloadSent: z.int(),
        payloadReceived: z.int(),
      })
      .optional(),
  }),
  z.object({
    type: z.literal('report'),
    cases: z.int(),
    foregroundDice: z.number().nullable(),
    dice: z.record(z.string(), z.number().nullable()),
    /** With a baseline: the mean foreground Dice less the baseline's, over the cases of both. */
    baselineDifference: z.number().nullable().optional(),
    gate: z.enum(['passed', 'failed', 'none']),
    path: z.string(),
    /** Cases that could not be scored. */
    leftOut: z.array(z.string()).optional(),
  }),
  z.object({
    type: z.literal('prediction'),
    image: z.string(),
    label: z.string(),
    volumesMl: z.record(z.string(), z.number()),
  }),
  z.object({
    type: z.literal('engine'),
    name: z.string(),
    available: z.boolean(),
    device: z.string(),
    /** What a training step takes there, a line a precision. */
    memory: z.array(z.string()).optional(),
    reason: z.string().optional(),
    hint: z.string().optional(),
  }),
  z.object({
    type: z.literal('connection'),
    route: z.string(),
    works: z.boolean(),
    reason: z.string(),
    milliseconds: z.int(),
    /** Of `meshfl join`, to go this way. */
    options: z.string(),
    hint: z.string().optional(),
  }),
  /** Where the figures of `meshfl bench` are measured: its first line. */
  z.looseObject({ type: z.literal('bench-machine'), time, processor: z.string(), threads: z.int() }),
  /** A figure: how long a case takes, or why it was not measured. */
  z.looseObject({
    type: z.literal('bench'),
    case: z.string(),
    engine: z.string(),
    threads: z.int().optional(),
    medianSeconds: z.number().optional(),
    skipped: z.string().optional(),
  }),
  /** Where the page of `meshfl view` is: its first line. */
  z.object({ type: z.literal('view'), url: z.string() }),
  z.object({ type: z.literal('error'), code: z.string(), message: z.string(), hint: z.string().optional() }),
])
export type MeshflEvent = z.infer<typeof EventSchema>
export type EventOf<T extends MeshflEvent['type']> = Extract<MeshflEvent, { type: T }>

/** Where events go: a file, a view, standard output. */
export type EventSink = (event: MeshflEvent) => void

let lastStamp = { ms: 0, text: '' }

/** The time stamp of an event. */
export function now(): string {
  const ms = Date.now()
  if (ms !== lastStamp.ms) lastStamp = { ms, text: new Date(ms).toISOString() }
  return lastStamp.text
}
