import { z } from 'zod'
import { faultOfClassNames } from './class-names.js'
import { EarlyStopSchema } from './early-stop.js'
import { canonicalJson, sha256 } from './hash.js'
import { STRATEGY_DEFAULTS, StrategyOptionsSchema, StrategySchema } from './strategy.js'

/** The architecture: blocks of Conv3d 3x3x3 (stride 1, padding = dilation) -> normalisation -> activation, then a 1x1x1 convolution. */
export const MeshNetSpecSchema = z.strictObject({
  classes: z.int().min(2).max(128).default(3),
  /** Channels of every hidden block; the input has one. */
  channels: z.int().min(1).max(64).default(5),
  /** One block for each. */
  dilations: z.array(z.int().min(1).max(64)).min(1).max(64).default([1, 2, 4, 8, 16, 8, 4, 2, 1]),
  activation: z.enum(['elu', 'relu', 'gelu']).default('elu'),
  normalization: z.enum(['batch', 'instance', 'none']).default('batch'),
  /** Whether the 3x3x3 convolutions have a bias; the head always has one. */
  convolutionBias: z.boolean().default(true),
  /** Probability that a whole channel is dropped after the activation while training. */
  dropout: z.number().min(0).lt(1).default(0),
})
export type MeshNetSpec = z.infer<typeof MeshNetSpecSchema>

/** How it is trained. The defaults are the reference's recipe without its mistakes (docs/decisions.md). */
export const RecipeSchema = z.strictObject({
  /** Cross-entropy weights, one a class; their length is the model's number of classes. */
  classWeights: z
    .array(z.number().min(0))
    .refine((weights) => weights.some((weight) => weight > 0), 'one of the weights must be above 0')
    .default([0.2, 1.0, 0.8]),
  labelSmoothing: z.number().min(0).lt(1).default(0.01),
  maxLearningRate: z.number().positive().default(5e-3),
  /** Fraction of all steps in which the learning rate rises. */
  warmupFraction: z.number().gt(0).lt(1).default(0.1),
  /** maxLearningRate / initialDivisor is the first learning rate. */
  initialDivisor: z.number().positive().default(25),
  /** first learning rate / finalDivisor is the last one. */
  finalDivisor: z.number().positive().default(1e4),
  anneal: z.enum(['linear', 'cosine']).default('linear'),
  /** Adam's beta1 cycles against the learning rate between these two. */
  baseMomentum: z.number().min(0).lt(1).default(0.85),
  maxMomentum: z.number().min(0).lt(1).default(0.95),
  beta2: z.number().min(0).lt(1).default(0.999),
  epsilon: z.number().positive().default(1e-8),
  /** Volumes a step. */
  batchSize: z.int().min(1).default(1),
  /** Passes over a site's training volumes a round. The order of all is drawn when the round begins. */
  localEpochs: z.int().min(1).max(10_000).default(1),
})
export type Recipe = z.infer<typeof RecipeSchema>

const FederationKeys = z.strictObject({
  /** Sites expected; round 1 starts when `minSites` are online. */
  sites: z.int().min(1).default(1),
  /** Sites that must contribute to a round. Default: all. */
  minSites: z.int().min(1).optional(),
  strategy: StrategySchema.default('fedavg'),
  /** Of the strategy; see `STRATEGY_DEFAULTS`. */
  strategyOptions: StrategyOptionsSchema.prefault({}),
  /** `round`: weights once a round; `step`: gradients every step, one optimiser at the coordinator. */
  sync: z.enum(['round', 'step']).default('round'),
  /**
   * `pooled`: mean and variance of the union of the sites' volumes; `average`: weighted means of both; `local`: each site trains and
   * scores with its own normalisation (FedBN), the global model keeps a pooled one.
   */
  batchNorm: z.enum(['pooled', 'average', 'local']).default('pooled'),
  /** Sites that train in a round: this many, or this part of all (at least one). Absent: all. All of them score. */
  sampleCount: z.int().min(1).optional(),
  sampleFraction: z.number().gt(0).lte(1).optional(),
  /** Whether every site's last model is scored on every site's validation cases at the end: sites then see each other's models. */
  crossSite: z.boolean().default(false),
  /** Whether the coordinator keeps every site's update of every round or step, so that `meshfl audit` can compute the rounds again. */
  keepUpdates: z.boolean().default(false),
  /** Seconds after which a round commits with at least `minSites`; absent: it waits for all of its sites. */
  roundDeadlineSeconds: z.number().positive().optional(),
})

export const FederationSchema = FederationKeys.superRefine((federation, context) => {
  const { strategy, strategyOptions, sync, batchNorm, sampleCount, sampleFraction, crossSite } = federation
  const refuse = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message })
  const known = Object.keys(STRATEGY_DEFAULTS[strategy])
  for (const option of Object.keys(strategyOptions)) {
    if (known.includes(option)) continue
    const has = known.length > 0 ? `it has ${known.join(', ')}` : 'it has none'
    refuse(['strategyOptions', option], `${strategy} has no option ${option}; ${has}`)
  }
  if (strategy === 'fedbn' && batchNorm === 'average') refuse(['batchNorm'], 'fedbn keeps the normalisation local')
  const isSampled = sampleCount !== undefined || sampleFraction !== undefined
  if (sampleCount !== undefined && sampleFraction !== undefined)
    refuse(['sampleFraction'], 'give sampleCount or sampleFraction, not both')
  if (strategy === 'meshfl-reference' && isSampled)
    refuse(['strategy'], 'meshfl-reference has no global model that a site could begin with: it cannot sample')
  if (sync === 'round') return
  if (strategy !== 'fedavg') refuse(['sync'], `with sync: step there are no updates for ${strategy} to combine`)
  if (batchNorm !== 'pooled') refuse(['batchNorm'], 'with sync: step the normalisation is pooled')
  if (crossSite) refuse(['crossSite'], 'with sync: step no site has a model of its own')
  if (isSampled) refuse(['sync'], 'with sync: step every site takes part in every round')
})
export type Federation = z.infer<typeof FederationSchema>

/** Voxels along an edge: as many as a site may tell of. */
const edge = z.int().positive().max(4096)

const ClassNamesSchema = z.array(z.string()).superRefine((names, context) => {
  const message = faultOfClassNames(names)
  if (message !== undefined) context.addIssue({ code: 'custom', message })
})

const OrientationSchema = z.string().regex(/^(?=.*[LR])(?=.*[PA])(?=.*[IS]).{3}$/, 'no orientation such as RAS')

/** What was asked for: the content of study.yaml. Its hash names the run. */
export const StudySchema = z.strictObject({
  name: z.string().default('study'),
  seed: z.int().min(0).default(0),
  rounds: z.int().min(1).default(50),
  /** Hash of the model that the run begins with, of another run or a file. Absent: drawn from the seed. */
  initialSha256: z.hash('sha256').optional(),
  /** Of a dataset with folds, the one, from 0, that is its validation; of `meshfl train` alone. */
  fold: z.int().min(0).optional(),
  /** Stops when the validation foreground Dice reaches it. */
  targetDice: z.number().min(0).max(1).optional(),
  /** Stops when the validation foreground Dice has not risen for a while. */
  earlyStop: EarlyStopSchema.optional(),
  classNames: ClassNamesSchema.default(['background', 'white matter', 'grey matter']),
  /** Edge of a voxel in mm and label map the sites' datasets must have; checked at join. Absent: taken from the first site. */
  voxelSizeMm: z.number().positive().optional(),
  labelMap: z.string().optional(),
  /** How the volumes were conformed, and so how `meshfl predict` conforms a scan. */
  conform: z
    .strictObject({
      mode: z.enum(['freesurfer', 'niivue', 'none']),
      /** Voxels along x, y, z. */
      shape: z.tuple([edge, edge, edge]),
      /** Where the voxel axes point, as nibabel's axcodes say it; kept where the mode is `none`, because the other modes turn every scan alike. */
      orientation: OrientationSchema.optional(),
    })
    .optional(),
  model: MeshNetSpecSchema.prefault({}),
  recipe: RecipeSchema.prefault({}),
  federation: FederationSchema.prefault({}),
})
export type Study = z.infer<typeof StudySchema>

/** The hash that names a run: of the study's canonical JSON. */
export function studySha256(study: Study): string {
  return sha256(canonicalJson(study))
}

/** Where a site's normalisation comes from: what its strategy says, or else the study. */
export function batchNormOf({ strategy, batchNorm }: Federation): Federation['batchNorm'] {
  return strategy === 'fedbn' ? 'local' : batchNorm
}
