import { moveBase, pseudoGradient } from './pseudo-gradient.js'
import { encodeServerState, serverVector } from './server-state.js'
import type { RoundInput, RoundOutput } from './strategy.js'

/**
 * The step that the adaptive servers share: m = beta1 m + (1 - beta1) delta, then v by their own rule, then w = w + eta m /
 * (sqrt(v) + tau). v begins at tau^2; there is no bias correction.
 * Reddi et al. (2021), Adaptive Federated Optimization, algorithm 2.
 * @param second the next v of a parameter, from v and delta^2
 */
export function adaptiveStep(
  round: RoundInput,
  { serverLearningRate, beta1, tau }: { serverLearningRate: number; beta1: number; tau: number },
  second: (v: number, square: number) => number,
): RoundOutput {
  const delta = pseudoGradient(round)
  const m = serverVector(round.state, 'm', delta.length)
  const v = serverVector(round.state, 'v', delta.length, tau * tau)
  const step = new Float64Array(delta.length)
  for (let i = 0; i < delta.length; i++) {
    m[i] = beta1 * m[i]! + (1 - beta1) * delta[i]!
    v[i] = second(v[i]!, delta[i]! * delta[i]!)
    step[i] = (serverLearningRate * m[i]!) / (Math.sqrt(v[i]!) + tau)
  }
  return moveBase(round, step, encodeServerState({ m, v }))
}
