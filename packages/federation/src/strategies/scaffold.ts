import { strategyOptions } from '@meshfl/core'
import { moveBase, pseudoGradient } from './pseudo-gradient.js'
import { encodeServerState, serverVector } from './server-state.js'
import type { RoundInput, Strategy } from './strategy.js'

/**
 * Averaging with control variates against drift. A site takes its steps along g - c_i + c, and after a round its c_i is the mean of
 * its uncorrected gradients along the way (option II of the paper, written so that it holds for any local optimiser). The
 * server: w = w + eta_g delta, c = c + sum of n_i (c_i+ - c_i) / N over the sites of the round, with n_i of all N training volumes of
 * all sites: the paper's 1/N of sites where all have as many.
 * Karimireddy et al. (2020), SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, algorithm 1.
 */
export const scaffold: Strategy = {
  combine(round) {
    const { serverLearningRate } = strategyOptions('scaffold', round.options)
    const step = pseudoGradient(round).map((delta) => serverLearningRate * delta)
    return moveBase(round, step, encodeServerState({ c: nextControl(round) }))
  },
  taskVector: (state, { parameterCount }) => new Float32Array(serverVector(state, 'c', parameterCount)),
}

function nextControl({ state, layout, contributions, population }: RoundInput): Float64Array {
  const control = serverVector(state, 'c', layout.parameterCount)
  const sums = new Float64Array(control.length)
  for (const { vector, samples } of contributions)
    for (let i = 0; i < sums.length; i++) sums[i]! += samples * vector![i]!
  // Never less than what is here: a site may have been revoked since it trained.
  const total = Math.max(
    population,
    contributions.reduce((sum, { samples }) => sum + samples, 0),
  )
  return control.map((value, i) => value + sums[i]! / total)
}
