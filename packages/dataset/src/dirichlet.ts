import type { Random } from '@meshfl/core'

/**
 * A draw from the Dirichlet distribution: shares that sum to 1, the more unequal the smaller the concentrations.
 * @param concentrations one a share, each above 0
 */
export function drawDirichlet(random: Random, concentrations: readonly number[]): number[] {
  // In logarithms: of small concentrations the gamma draws themselves are all 0 in a double.
  const logs = concentrations.map((shape) => logGammaDraw(random, shape))
  const greatest = Math.max(...logs)
  const weights = logs.map((log) => Math.exp(log - greatest))
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => weight / sum)
}

/** The logarithm of a draw from the gamma distribution of scale 1 (Marsaglia and Tsang, 2000, doi:10.1145/358407.358414). */
function logGammaDraw(random: Random, shape: number): number {
  if (shape < 1) return logGammaDraw(random, shape + 1) + Math.log(1 - random.uniform()) / shape
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = random.normal()
    const v = (1 + c * x) ** 3
    if (v <= 0) continue
    if (Math.log(1 - random.uniform()) < x ** 2 / 2 + d * (1 - v + Math.log(v))) return Math.log(d * v)
  }
}
