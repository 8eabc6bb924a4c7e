import { strategyOptions } from '@meshfl/core'
import { perCoordinate } from './per-coordinate.js'
import type { Strategy } from './strategy.js'

/**
 * The mean of every float without the largest and the smallest beta of the values: floor(beta n) at each end, and as many hostile
 * sites are withstood.
 * Yin et al. (2018), Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, definition 2.
 */
export const trimmedMean: Strategy = {
  combine: (round) => {
    const { beta } = strategyOptions('trimmed-mean', round.options)
    const cut = cutAtEachEnd(beta, round.contributions.length)
    return {
      model: perCoordinate(round, (values) => {
        let sum = 0
        for (let i = cut; i < values.length - cut; i++) sum += values[i]!
        return sum / (values.length - 2 * cut)
      }),
      state: null,
    }
  },
  obstacle(options, updates) {
    const { beta } = strategyOptions('trimmed-mean', options)
    if (cutAtEachEnd(beta, updates) > 0) return null
    if (updates < 3) return 'of fewer than three updates none can be trimmed at both ends'
    return `beta ${beta} trims none of ${updates} updates: it must be at least 1/${updates}`
  },
}

/** floor(beta n), where 1/3 of 3 is 1 whatever its last bit. */
function cutAtEachEnd(beta: number, updates: number): number {
  return Math.min(Math.floor(beta * updates + 1e-9), (updates - 1) >> 1)
}
