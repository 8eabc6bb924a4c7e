import { type Command, InvalidArgumentError, Option } from 'commander'

/** Options of the commands that run a federation: they make or override `federation` of study.yaml. */
export interface FederationOptions {
  strategy?: string
  strategyOption?: Record<string, number>
  sync?: string
  batchNorm?: string
  crossSite?: boolean
  sample?: { sampleCount: number } | { sampleFraction: number }
}

/** The names are written out: the schemas of core are not loaded for --help. A test compares. */
export const STRATEGY_CHOICES = [
  'fedavg',
  'fedprox',
  'fedavgm',
  'fedadam',
  'fedyogi',
  'fedadagrad',
  'scaffold',
  'fedbn',
  'median',
  'trimmed-mean',
  'krum',
  'multi-krum',
  'meshfl-reference',
]

export function withFederationOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--strategy <name>', 'how updates are combined (default: fedavg; see docs/strategies.md)').choices(
        STRATEGY_CHOICES,
      ),
    )
    .option(
      '--strategy-option <key=value>',
      "one of the strategy's hyperparameters, for example mu=0.1; may be given again",
      keyAndNumber,
    )
    .addOption(
      new Option('--sync <when>', 'weights once a round, or gradients every step (default: round)').choices([
        'round',
        'step',
      ]),
    )
    .addOption(
      new Option('--batch-norm <how>', 'running statistics of the sites (default: pooled)').choices([
        'pooled',
        'average',
        'local',
      ]),
    )
    .option('--sample <n or fraction>', 'sites that train in a round: 5, 0.2 or 20% (default: all)', countOrFraction)
    .option('--cross-site', "at the end, score every site's model on every site's cases: sites see each other's models")
}

/** The keys of a study's `federation` that the options give. */
export function federationKeys(options: FederationOptions): Record<string, unknown> {
  const { strategy, strategyOption, sync, batchNorm, sample, crossSite } = options
  return {
    ...(strategy === undefined ? {} : { strategy }),
    ...(strategyOption === undefined ? {} : { strategyOptions: strategyOption }),
    ...(sync === undefined ? {} : { sync }),
    ...(batchNorm === undefined ? {} : { batchNorm }),
    ...(crossSite === undefined ? {} : { crossSite }),
    ...sample,
  }
}

function keyAndNumber(text: string, before: Record<string, number> = {}): Record<string, number> {
  const match = /^([A-Za-z]\w*)=(.+)$/.exec(text)
  const value = Number(match?.[2])
  if (!match || !Number.isFinite(value)) throw new InvalidArgumentError('expected a key and a number: mu=0.1')
  return { ...before, [match[1]!]: value }
}

function countOrFraction(text: string): { sampleCount: number } | { sampleFraction: number } {
  const isPercent = text.trim().endsWith('%')
  const value = Number(isPercent ? text.trim().slice(0, -1) : text) / (isPercent ? 100 : 1)
  if (!isPercent && Number.isSafeInteger(value) && value >= 1) return { sampleCount: value }
  if (text.trim() === '' || !(value > 0 && value <= 1))
    throw new InvalidArgumentError('expected a number of sites as 5, or a part of them as 0.2 or 20%')
  return { sampleFraction: value }
}
