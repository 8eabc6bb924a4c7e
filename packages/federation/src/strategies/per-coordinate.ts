import type { ModelState } from '@meshfl/core'
import type { RoundInput } from './strategy.js'

/**
 * A model of which every float, running statistics among them, is one function of the sites' floats in that place. The sites count
 * alike, whatever their volumes: a weight would be one more thing to lie about.
 * @param rule from the values in ascending order; it must not keep them
 */
export function perCoordinate({ contributions }: RoundInput, rule: (ascending: Float64Array) => number): ModelState {
  const column = new Float64Array(contributions.length)
  const reduce = (arrays: readonly Float32Array[]): Float32Array =>
    arrays[0]!.map((_, i) => {
      arrays.forEach((values, site) => {
        column[site] = values[i]!
      })
      return rule(column.sort())
    })
  return {
    parameters: reduce(contributions.map(({ model }) => model.parameters)),
    statistics: reduce(contributions.map(({ model }) => model.statistics)),
  }
}
