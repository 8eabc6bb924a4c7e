import { strategyOptions } from '@meshfl/core'
import { aggregate, sortedBySite } from '../aggregate.js'
import { byKrumScore, krumObstacle } from './krum-scores.js'
import type { Strategy } from './strategy.js'

/**
 * The plain mean of the m updates with the best Krum scores; m is n - f where nothing is said. Volumes do not weigh: a hostile site
 * would claim many.
 * Blanchard et al. (2017), Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, section 4 (Multi-Krum).
 */
export const multiKrum: Strategy = {
  combine({ contributions, options, layout, batchNorm }) {
    const { f, m } = strategyOptions('multi-krum', options)
    const chosen = byKrumScore(contributions, f).slice(0, m ?? Math.max(1, contributions.length - f))
    const alike = sortedBySite(chosen).map((contribution) => ({ ...contribution, samples: 1 }))
    return { model: aggregate(layout, alike, batchNorm), state: null }
  },
  obstacle(options, updates) {
    const { f, m } = strategyOptions('multi-krum', options)
    if (m !== undefined && m > updates - f) return `m = ${m} of ${updates} updates leaves fewer than f = ${f} out`
    return krumObstacle(f, updates)
  },
}
