import { meanStatistics, weightedMean } from '../aggregate.js'
import type { RoundInput, RoundOutput } from './strategy.js'

/** The mean of the sites' changes, weighted by volumes: what a server optimiser takes for a (negative) gradient. Float64. */
export function pseudoGradient({ base, contributions }: RoundInput): Float64Array {
  const mean = weightedMean(contributions, ({ model }) => model.parameters)
  for (let i = 0; i < mean.length; i++) mean[i]! -= base.parameters[i]!
  return mean
}

/** The base moved by a server step; running statistics are no parameters, and are averaged whatever the optimiser. */
export function moveBase(round: RoundInput, step: Float64Array, state: Uint8Array): RoundOutput {
  const { base, layout, contributions, batchNorm } = round
  const parameters = base.parameters.map((value, i) => value + step[i]!)
  return { model: { parameters, statistics: meanStatistics(layout, contributions, batchNorm) }, state }
}
