import { strategyOptions } from '@meshfl/core'
import { adaptiveStep } from './adaptive.js'
import type { Strategy } from './strategy.js'

/** Adam at the server: v = beta2 v + (1 - beta2) delta^2. Reddi et al. (2021), Adaptive Federated Optimization, algorithm 2. */
export const fedadam: Strategy = {
  combine(round) {
    const options = strategyOptions('fedadam', round.options)
    return adaptiveStep(round, options, (v, square) => options.beta2 * v + (1 - options.beta2) * square)
  },
}
