import { z } from 'zod'

/** How the sites' updates become the next global model. Each has a file in packages/federation/src/strategies. */
export const StrategySchema = z.enum([
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
])
export type StrategyName = z.infer<typeof StrategySchema>

/** Hyperparameters of all strategies, named as their papers name them; `STRATEGY_DEFAULTS` says which strategy has which. */
export const StrategyOptionsSchema = z.strictObject({
  /** fedprox: weight of the proximal term. */
  mu: z.number().min(0).optional(),
  /** Step size of the server (eta, eta_g). */
  serverLearningRate: z.number().positive().optional(),
  /** fedavgm: beta of the server's momentum. */
  serverMomentum: z.number().min(0).lt(1).optional(),
  /** Decay of the adaptive servers' first and second moment. */
  beta1: z.number().min(0).lt(1).optional(),
  beta2: z.number().min(0).lt(1).optional(),
  /** Degree of adaptivity: what is added to the root of the second moment. */
  tau: z.number().positive().optional(),
  /** trimmed-mean: the fraction that is cut off at each end. */
  beta: z.number().gt(0).lt(0.5).optional(),
  /** krum, multi-krum: hostile sites to withstand. */
  f: z.int().min(0).optional(),
  /** multi-krum: updates that are averaged. Default: all but f. */
  m: z.int().min(1).optional(),
})
export type StrategyOptions = z.infer<typeof StrategyOptionsSchema>

const ADAPTIVE = { serverLearningRate: 0.01, beta1: 0.9, beta2: 0.99, tau: 1e-3 }

/** The options that each strategy has, and what they are where a study does not say. */
export const STRATEGY_DEFAULTS = {
  fedavg: {},
  fedprox: { mu: 0.01 },
  fedavgm: { serverLearningRate: 1, serverMomentum: 0.9 },
  fedadam: ADAPTIVE,
  fedyogi: ADAPTIVE,
  fedadagrad: { serverLearningRate: 0.01, tau: 1e-3 },
  scaffold: { serverLearningRate: 1 },
  fedbn: {},
  median: {},
  'trimmed-mean': { beta: 0.2 },
  krum: { f: 1 },
  'multi-krum': { f: 1, m: undefined as number | undefined },
  'meshfl-reference': {},
} satisfies Record<StrategyName, { [K in keyof StrategyOptions]: StrategyOptions[K] | undefined }>

/** What a study says of its strategy's options, and the defaults where it says nothing. */
export function strategyOptions<S extends StrategyName>(
  strategy: S,
  given: StrategyOptions,
): (typeof STRATEGY_DEFAULTS)[S] {
  return { ...STRATEGY_DEFAULTS[strategy], ...given }
}
