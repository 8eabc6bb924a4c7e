import { allocate, quotasOf } from './allocate.js'

/**
 * Shares several strata out by weight, each as near to its quotas as the totals allow: a row for each stratum, whose sum is its size,
 * and columns whose sums are those of `allocate` for all of them together. No share is further than one from its quota.
 * @param weights none negative, one at least positive
 */
export function allocateStrata(sizes: readonly number[], weights: readonly number[]): number[][] {
  const shares = sizes.map((size) => allocate(size, weights))
  const quotas = sizes.map((size) => quotasOf(size, weights))
  const wanted = allocate(
    sizes.reduce((a, b) => a + b, 0),
    weights,
  )
  // Each stratum by itself is right and the totals are not yet: of all ways to bring one from a column of too many to one of too few, the
  // one that costs the least is taken, and the result is the least possible (successive shortest paths).
  for (;;) {
    const surplus = wanted.map((count, column) => shares.reduce((sum, row) => sum + row[column]!, 0) - count)
    if (surplus.every((count) => count === 0)) return shares
    for (const { row, from, to } of cheapestChain(surplus, cheapestMoves(shares, quotas, weights))) {
      shares[row]![from]!--
      shares[row]![to]!++
    }
  }
}

interface Move {
  row: number
  from: number
  to: number
  cost: number
}

/** Of each pair of columns the move that costs the least; of equal ones that of the first stratum. */
function cheapestMoves(
  shares: readonly (readonly number[])[],
  quotas: readonly (readonly number[])[],
  weights: readonly number[],
): Move[] {
  const moves: Move[] = []
  for (const from of weights.keys()) {
    for (const to of weights.keys()) {
      if (to === from || weights[to] === 0) continue
      let best: Move | undefined
      for (const [row, counts] of shares.entries()) {
        if (counts[from] === 0) continue
        const step = (column: number, by: number): number =>
          unevenness(counts[column]! + by, quotas[row]![column]!) - unevenness(counts[column]!, quotas[row]![column]!)
        const cost = step(from, -1) + step(to, 1)
        if (best === undefined || cost < best.cost - EQUAL) best = { row, from, to, cost }
      }
      if (best) moves.push(best)
    }
  }
  return moves
}

/** Costs that differ by less are equal but for rounding. */
const EQUAL = 1e-9
/** More than any chain of moves costs otherwise. */
const BEYOND = 1e6

/** Convex, and far greater beyond the whole numbers around the quota. */
function unevenness(share: number, quota: number): number {
  return (share - quota) ** 2 + BEYOND * Math.max(0, Math.floor(quota) - share, share - Math.ceil(quota))
}

/** Bellman and Ford's shortest path from a column of too many to one of too few. */
function cheapestChain(surplus: readonly number[], moves: readonly Move[]): Move[] {
  const cost = surplus.map((count) => (count > 0 ? 0 : Number.POSITIVE_INFINITY))
  const last: (Move | undefined)[] = surplus.map(() => undefined)
  for (let length = 1; length < surplus.length; length++) {
    for (const move of moves) {
      const through = cost[move.from]! + move.cost
      if (through >= cost[move.to]! - EQUAL) continue
      cost[move.to] = through
      last[move.to] = move
    }
  }
  const lacking = surplus.map((count, column) => (count < 0 ? cost[column]! : Number.POSITIVE_INFINITY))
  const chain: Move[] = []
  for (let move = last[lacking.indexOf(Math.min(...lacking))]; move; move = last[move.from]) chain.unshift(move)
  return chain
}
