import type { Federation, LocalRule } from '@meshfl/core'
import { strategyOptions } from '@meshfl/core'

/**
 * What a strategy asks of the steps at the sites.
 * @param vector what the task came with, for the strategies whose tasks have one
 */
export function localRule(federation: Federation, vector: Float32Array | undefined, round: number): LocalRule {
  const { strategy, strategyOptions: given } = federation
  switch (strategy) {
    case 'fedprox':
      return { kind: 'proximal', mu: strategyOptions(strategy, given).mu }
    case 'scaffold':
      return { kind: 'scaffold', control: vector! }
    case 'meshfl-reference':
      return { kind: 'meshfl-reference', gradient: round === 1 ? null : vector! }
    default:
      return { kind: 'plain' }
  }
}
