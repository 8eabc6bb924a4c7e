import { createRandom, type Federation } from '@meshfl/core'

/** Whether only some of the sites train in a round. */
export function isSampled({ sampleCount, sampleFraction }: Federation): boolean {
  return sampleCount !== undefined || sampleFraction !== undefined
}

/** How many sites train in a round of so many: all, a number of them, or a part (at least one). */
export function sampleSize({ sampleCount, sampleFraction }: Federation, sites: number): number {
  if (sampleCount !== undefined) return Math.min(sampleCount, sites)
  if (sampleFraction !== undefined) return Math.max(1, Math.floor(sampleFraction * sites + 1e-9))
  return sites
}

/** Updates that a round has at least. @param minSites what the run asks for without sampling */
export function fewestUpdates(federation: Federation, sites: number, minSites: number): number {
  return Math.min(minSites, sampleSize(federation, sites))
}

/**
 * The sites in the order in which a round draws them: of those that are there the first ones train. The order is that of the
 * seed, the round and the names alone, so a restarted coordinator draws the same.
 * McMahan et al. (2017), Communication-Efficient Learning of Deep Networks from Decentralized Data, algorithm 1 (S_t).
 */
export function drawOrder(seed: number, round: number, sites: readonly string[]): string[] {
  return createRandom(seed, 'sample', round).shuffle([...sites].sort())
}
