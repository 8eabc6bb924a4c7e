import { type Federation, MeshflError, type StrategyName } from '@meshfl/core'
import { fedadagrad } from './fedadagrad.js'
import { fedadam } from './fedadam.js'
import { fedavg } from './fedavg.js'
import { fedavgm } from './fedavgm.js'
import { fedbn } from './fedbn.js'
import { fedprox } from './fedprox.js'
import { fedyogi } from './fedyogi.js'
import { krum } from './krum.js'
import { median } from './median.js'
import { meshflReference } from './meshfl-reference.js'
import { multiKrum } from './multi-krum.js'
import { scaffold } from './scaffold.js'
import type { Strategy } from './strategy.js'
import { trimmedMean } from './trimmed-mean.js'

export const STRATEGIES: Readonly<Record<StrategyName, Strategy>> = {
  fedavg,
  fedprox,
  fedavgm,
  fedadam,
  fedyogi,
  fedadagrad,
  scaffold,
  fedbn,
  median,
  'trimmed-mean': trimmedMean,
  krum,
  'multi-krum': multiKrum,
  'meshfl-reference': meshflReference,
}

/**
 * Checks that a strategy can work with the fewest updates that a round may have.
 * @throws MeshflError `STRATEGY_TOO_FEW_SITES`
 */
export function checkStrategy({ strategy, strategyOptions: given }: Federation, updates: number): void {
  const obstacle = STRATEGIES[strategy].obstacle?.(given, updates)
  if (!obstacle) return
  throw new MeshflError('STRATEGY_TOO_FEW_SITES', `${strategy} cannot work here: ${obstacle}`, {
    kind: 'usage',
    hint: 'invite more sites, raise --min-sites or the sample, change the strategy’s options, or choose another --strategy',
    data: { strategy, updates },
  })
}
