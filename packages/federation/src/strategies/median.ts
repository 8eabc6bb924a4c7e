import { perCoordinate } from './per-coordinate.js'
import type { Strategy } from './strategy.js'

/**
 * The median of every float, of an even number the mean of the two in the middle: within the range of the honest sites' values as
 * long as fewer than half are hostile.
 * Yin et al. (2018), Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, definition 1.
 */
export const median: Strategy = {
  combine: (round) => ({
    model: perCoordinate(round, (values) => {
      const middle = values.length >> 1
      return values.length % 2 === 1 ? values[middle]! : (values[middle - 1]! + values[middle]!) / 2
    }),
    state: null,
  }),
}
