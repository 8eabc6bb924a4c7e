import type { ModelState } from '@meshfl/core'
import type { Contribution } from '../aggregate.js'

/**
 * Krum's score of every update: the sum of its squared distances to its n - f - 2 nearest. Running statistics count in the distance
 * too, or they could carry what the parameters may not.
 * Blanchard et al. (2017), Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, section 4.
 */
function krumScores(contributions: readonly Contribution[], f: number): number[] {
  const count = contributions.length
  const nearest = Math.max(1, count - f - 2)
  const distances = contributions.map(() => new Float64Array(count))
  for (let a = 0; a < count; a++) {
    for (let b = a + 1; b < count; b++) {
      const distance = squaredDistance(contributions[a]!.model, contributions[b]!.model)
      distances[a]![b] = distance
      distances[b]![a] = distance
    }
  }
  return distances.map((row, own) =>
    row
      .filter((_, other) => other !== own)
      .sort()
      .slice(0, nearest)
      .reduce((sum, distance) => sum + distance, 0),
  )
}

/** The updates in ascending order of their scores; of equal ones the first by site name. */
export function byKrumScore(contributions: readonly Contribution[], f: number): Contribution[] {
  const scores = krumScores(contributions, f)
  const order = contributions.map((_, i) => i).sort((a, b) => scores[a]! - scores[b]! || a - b)
  return order.map((i) => contributions[i]!)
}

/** Why f hostile sites cannot be withstood; null when they can: n >= 2 f + 3. */
export function krumObstacle(f: number, updates: number): string | null {
  if (updates >= 2 * f + 3) return null
  return `against f = ${f} hostile sites it needs at least 2f + 3 = ${2 * f + 3} updates a round, there may be ${updates}`
}

function squaredDistance(a: ModelState, b: ModelState): number {
  let sum = 0
  for (const part of ['parameters', 'statistics'] as const) {
    for (let i = 0; i < a[part].length; i++) {
      const apart = a[part][i]! - b[part][i]!
      sum += apart * apart
    }
  }
  return sum
}
