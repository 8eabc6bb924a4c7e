import { strategyOptions } from '@meshfl/core'
import { adaptiveStep } from './adaptive.js'
import type { Strategy } from './strategy.js'

/**
 * Yogi at the server: v = v - (1 - beta2) delta^2 sign(v - delta^2), which falls more slowly than Adam's.
 * Reddi et al. (2021), Adaptive Federated Optimization, algorithm 2.
 */
export const fedyogi: Strategy = {
  combine(round) {
    const options = strategyOptions('fedyogi', round.options)
    return adaptiveStep(round, options, (v, square) => v - (1 - options.beta2) * square * Math.sign(v - square))
  },
}
