import { aggregate, weightedMean } from '../aggregate.js'
import { encodeServerState, serverVector } from './server-state.js'
import type { Strategy } from './strategy.js'

/**
 * What the MeshFL paper's code does, for comparison only: every site keeps weights of its own, and after its local steps the
 * gradients left over from each site's last batch are averaged (each site alike) and every site takes one more Adam step along
 * them. No global model exists; the mean of the sites' models stands in for it in files and hashes, and no site trains from it.
 * https://github.com/Mmasoud1/MeshFL
 */
export const meshflReference: Strategy = {
  combine({ layout, contributions, batchNorm }) {
    const alike = contributions.map((contribution) => ({ ...contribution, samples: 1 }))
    const gradient = weightedMean(alike, ({ vector }) => vector!)
    return { model: aggregate(layout, contributions, batchNorm), state: encodeServerState({ gradient }) }
  },
  taskVector: (state, { parameterCount }) => new Float32Array(serverVector(state, 'gradient', parameterCount)),
}
