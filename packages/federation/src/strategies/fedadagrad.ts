import { strategyOptions } from '@meshfl/core'
import { adaptiveStep } from './adaptive.js'
import type { Strategy } from './strategy.js'

/** Adagrad at the server: v = v + delta^2, no momentum. Reddi et al. (2021), Adaptive Federated Optimization, algorithm 1. */
export const fedadagrad: Strategy = {
  combine(round) {
    const options = { ...strategyOptions('fedadagrad', round.options), beta1: 0 }
    return adaptiveStep(round, options, (v, square) => v + square)
  },
}
