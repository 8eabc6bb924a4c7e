import { aggregate } from '../aggregate.js'
import type { Strategy } from './strategy.js'

/**
 * Federated averaging: the mean of the sites' models, weighted by their training volumes.
 * McMahan et al. (2017), Communication-Efficient Learning of Deep Networks from Decentralized Data, algorithm 1.
 */
export const fedavg: Strategy = {
  combine: ({ layout, contributions, batchNorm }) => ({
    model: aggregate(layout, contributions, batchNorm),
    state: null,
  }),
}
