import { strategyOptions } from '@meshfl/core'
import { moveBase, pseudoGradient } from './pseudo-gradient.js'
import { encodeServerState, serverVector } from './server-state.js'
import type { Strategy } from './strategy.js'

/**
 * Averaging with momentum at the server: v = beta v + delta, w = w + eta v, where delta is the mean of the sites' changes.
 * Hsu, Qi and Brown (2019), Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification,
 * section 4; beta is `serverMomentum`, eta (1 in the paper) `serverLearningRate`.
 */
export const fedavgm: Strategy = {
  combine(round) {
    const { serverLearningRate, serverMomentum } = strategyOptions('fedavgm', round.options)
    const delta = pseudoGradient(round)
    const velocity = serverVector(round.state, 'v', delta.length)
    for (let i = 0; i < delta.length; i++) velocity[i] = serverMomentum * velocity[i]! + delta[i]!
    const step = velocity.map((v) => serverLearningRate * v)
    return moveBase(round, step, encodeServerState({ v: velocity }))
  },
}
