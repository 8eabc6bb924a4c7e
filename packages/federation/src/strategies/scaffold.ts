import { strategyOptions } from '@meshfl/core'
import { weightedSum } from '../aggregate.js'
import { moveBase, pseudoGradient } from './pseudo-gradient.js'
import { encodeScaffoldState, readScaffoldState, type ScaffoldState } from './scaffold-state.js'
import type { RoundInput, Strategy } from './strategy.js'

/**
 * Averaging with control variates against drift. A site takes its steps along g - c_i + c, and after a round its c_i is the mean of
 * its uncorrected gradients along the way (option II of the paper, written so that it holds for any local optimiser). The
 * server: w = w + eta_g delta, c = sum of n_i c_i / N over all approved sites, with n_i of all N training volumes: the paper's 1/N of
 * sites where all have as many. A site's c_i is that of its last update that counted, and 0 before its first.
 *
 * The paper adds up how the c_i change, which comes to the same as long as no change is lost and no site comes or goes. Here updates
 * come too late, sites are revoked and join, so c is the mean of what is known of the sites of now: an update that did not count
 * leaves a c_i older by a round, as with a site that was not sampled, and the next one mends it.
 * Karimireddy et al. (2020), SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, algorithm 1.
 */
export const scaffold: Strategy = {
  combine(round) {
    const { serverLearningRate } = strategyOptions('scaffold', round.options)
    const step = pseudoGradient(round).map((delta) => serverLearningRate * delta)
    return moveBase(round, step, encodeScaffoldState(nextControls(round)))
  },
  taskVector: (state, { parameterCount }) => readScaffoldState(state, parameterCount).mean.slice(),
}

function nextControls({ state, layout, contributions, population }: RoundInput): ScaffoldState {
  const known = new Map(readScaffoldState(state, layout.parameterCount).sites.map((entry) => [entry.site, entry]))
  for (const { site, vector, samples } of contributions) known.set(site, { site, control: vector!, samples })
  // In the order of the population's names, whatever order they were counted in. A site that was revoked is in neither.
  const sites = population.flatMap(({ site }) => known.get(site) ?? [])
  const total = population.reduce((sum, { site, samples }) => sum + (known.get(site)?.samples ?? samples), 0)
  const sums = weightedSum(layout.parameterCount, sites, ({ control }) => control)
  return { mean: Float32Array.from(sums, (sum) => (total > 0 ? sum / total : 0)), sites }
}
