import { strategyOptions } from '@meshfl/core'
import { byKrumScore, krumObstacle } from './krum-scores.js'
import type { Strategy } from './strategy.js'

/**
 * One site's update, the one whose n - f - 2 nearest are nearest of all. It withstands f hostile sites of n >= 2f + 3; the price is that
 * a round learns from one site only.
 * Blanchard et al. (2017), Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, section 4.
 */
export const krum: Strategy = {
  combine({ contributions, options }) {
    const { f } = strategyOptions('krum', options)
    return { model: byKrumScore(contributions, f)[0]!.model, state: null }
  },
  obstacle: (options, updates) => krumObstacle(strategyOptions('krum', options).f, updates),
}
