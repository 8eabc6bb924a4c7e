import { StudySchema } from '@meshfl/core'
import { keysOf, type Schema } from './study-keys.js'

/** What a person reads beside each key of study.yaml. `example`: for a key without a default, which the file shows commented out. */
const KEYS: Record<string, { comment: string; example?: string }> = {
  name: { comment: 'What you call it; part of its hash, as all keys are.' },
  seed: {
    comment: 'Of every random draw: first weights, shuffles, dropout, sampling. The same seed gives the same bits.',
  },
  rounds: { comment: 'A round: every site trains, the updates are combined, every site scores the result.' },
  initialSha256: {
    comment:
      'Hash of the model that the run begins with; written by --from <model>. Absent: weights drawn from the seed.',
    example: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  },
  fold: {
    comment: 'With meshfl train on a dataset of folds: the one, from 0, that is its validation. --fold says it, too.',
    example: '0',
  },
  targetDice: { comment: 'Stop when the validation foreground Dice reaches it.', example: '0.85' },
  earlyStop: { comment: 'Stop when the validation foreground Dice has not risen for a while.' },
  'earlyStop.patience': { comment: 'Rounds without a rise after which the run ends.', example: '10' },
  'earlyStop.minDelta': { comment: 'What counts as a rise: more than this.', example: '0' },
  classNames: { comment: 'One name a class, background first.' },
  voxelSizeMm: {
    comment: "Edge of a voxel that the sites' datasets must have, in mm. Absent: as at the first site.",
    example: '1',
  },
  labelMap: { comment: "Label map that the sites' datasets must have. Absent: as at the first site.", example: 'gw3' },
  conform: {
    comment: 'How the volumes were conformed, and how predict conforms a scan. Absent: as at the first site.',
  },
  'conform.mode': { comment: 'freesurfer, niivue or none.', example: 'freesurfer' },
  'conform.shape': { comment: 'Voxels along x, y, z.', example: '[256, 256, 256]' },
  'conform.orientation': {
    comment: 'With the mode none: where the voxel axes of every scan point. Absent: as each scan lies.',
    example: 'RAS',
  },
  model: { comment: 'MeshNet: blocks of 3x3x3 convolution, normalisation, activation; then a 1x1x1 convolution.' },
  'model.classes': { comment: 'Background counts.' },
  'model.channels': { comment: 'Of every hidden block.' },
  'model.dilations': { comment: 'One block for each.' },
  'model.activation': { comment: 'elu, relu or gelu.' },
  'model.normalization': { comment: 'batch, instance or none.' },
  'model.convolutionBias': { comment: 'Whether the 3x3x3 convolutions have a bias.' },
  'model.dropout': { comment: 'Probability that a whole channel is dropped while training.' },
  recipe: { comment: 'How every site trains: cross-entropy, Adam, one cycle of the learning rate over all rounds.' },
  'recipe.classWeights': { comment: 'Of the cross-entropy, one a class.' },
  'recipe.labelSmoothing': { comment: 'From 0 to 1.' },
  'recipe.maxLearningRate': { comment: 'The peak of the cycle.' },
  'recipe.warmupFraction': { comment: 'Part of all steps in which the learning rate rises.' },
  'recipe.initialDivisor': { comment: 'The first learning rate is maxLearningRate over this.' },
  'recipe.finalDivisor': { comment: 'The last learning rate is the first one over this.' },
  'recipe.anneal': { comment: 'linear or cosine.' },
  'recipe.baseMomentum': { comment: "Adam's beta1 at the peak of the learning rate." },
  'recipe.maxMomentum': { comment: "Adam's beta1 at its ends." },
  'recipe.beta2': { comment: "Adam's beta2." },
  'recipe.epsilon': { comment: "Adam's epsilon." },
  'recipe.batchSize': { comment: 'Volumes a step.' },
  'recipe.localEpochs': { comment: "Passes over a site's training volumes a round." },
  federation: { comment: 'How the sites work together.' },
  'federation.sites': { comment: 'Sites to invite.' },
  'federation.minSites': { comment: 'Sites that a round needs. Absent: all.', example: '1' },
  'federation.strategy': { comment: 'How updates are combined; docs/strategies.md says what each is for.' },
  'federation.strategyOptions': { comment: "The strategy's own; only its own are allowed." },
  'federation.strategyOptions.mu': { comment: 'fedprox: weight of the proximal term.', example: '0.01' },
  'federation.strategyOptions.serverLearningRate': {
    comment: 'fedavgm, fedadam, fedyogi, fedadagrad, scaffold.',
    example: '1',
  },
  'federation.strategyOptions.serverMomentum': { comment: 'fedavgm.', example: '0.9' },
  'federation.strategyOptions.beta1': { comment: 'fedadam, fedyogi.', example: '0.9' },
  'federation.strategyOptions.beta2': { comment: 'fedadam, fedyogi.', example: '0.99' },
  'federation.strategyOptions.tau': {
    comment: 'fedadam, fedyogi, fedadagrad: degree of adaptivity.',
    example: '0.001',
  },
  'federation.strategyOptions.beta': { comment: 'trimmed-mean: the part that is cut off at each end.', example: '0.2' },
  'federation.strategyOptions.f': { comment: 'krum, multi-krum: hostile sites to withstand.', example: '1' },
  'federation.strategyOptions.m': {
    comment: 'multi-krum: updates that are averaged. Absent: all but f.',
    example: '3',
  },
  'federation.sync': { comment: 'round: weights once a round. step: gradients every step.' },
  'federation.batchNorm': { comment: 'Running statistics of the sites: pooled, average or local.' },
  'federation.sampleCount': { comment: 'Sites that train in a round. Absent: all.', example: '5' },
  'federation.sampleFraction': { comment: 'Or a part of them; not both.', example: '0.2' },
  'federation.crossSite': {
    comment: "At the end, score every site's model on every site's cases: sites see each other's models.",
  },
  'federation.keepUpdates': {
    comment: 'Keep every update, so that meshfl audit can compute the rounds again; see docs/security.md.',
  },
  'federation.roundDeadlineSeconds': {
    comment: 'Close a round after this with at least minSites. Absent: wait for all.',
    example: '3600',
  },
}

/**
 * A study.yaml of all keys, each with a comment and its default. Keys without a default are commented out. Every command that takes
 * `--study` reads it as it is.
 */
export function studyTemplate(): string {
  const defaults = StudySchema.parse({}) as unknown as Record<string, unknown>
  const lines = [
    '# A study of meshfl: what is trained, how, and how sites work together. Give it with --study; options override it.',
  ]
  for (const path of keysOf(StudySchema as Schema)) {
    const names = path.split('.')
    const indent = '  '.repeat(names.length - 1)
    const { comment = '', example } = KEYS[path] ?? {}
    const value = names.reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], defaults)
    const isSection = example === undefined && (value === undefined || isPlainObject(value))
    if (names.length === 1) lines.push('')
    lines.push(`${indent}# ${comment}`)
    // An empty section would be null: it is written as what it is until one of its keys is.
    if (isSection && isPlainObject(value) && Object.keys(value).length === 0) lines.push(`${indent}${names.at(-1)}: {}`)
    else if (isSection) lines.push(`${indent}${value === undefined ? '# ' : ''}${names.at(-1)}:`)
    else if (value === undefined) lines.push(`${indent}# ${names.at(-1)}: ${example}`)
    else lines.push(`${indent}${names.at(-1)}: ${JSON.stringify(value)}`)
  }
  return `${lines.join('\n')}\n`
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
