const SQRT_2_PI = Math.sqrt(2 * Math.PI)
/** Beyond it the probability is 0 or 1 in double precision, or nearly so. */
const FAR = 8.3

/**
 * The probability that a standard normal variable is at most x, to double precision near 0 and within 1e-15 in the tails.
 * Marsaglia, Evaluating the Normal Distribution, Journal of Statistical Software 11 (4), 2004.
 */
export function normalCdf(x: number): number {
  if (!(Math.abs(x) <= FAR)) return x > 0 ? 1 : x < 0 ? 0 : Number.NaN
  let sum = x
  let term = x
  for (let i = 3, before = 0; sum !== before; i += 2) {
    before = sum
    term *= (x * x) / i
    sum += term
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / SQRT_2_PI
}

/** The x whose `normalCdf` is p, for p in (0, 1); by bisection: it is asked for a few times a report. */
export function normalQuantile(p: number): number {
  if (p <= 0) return Number.NEGATIVE_INFINITY
  if (p >= 1) return Number.POSITIVE_INFINITY
  let low = -FAR
  let high = FAR
  for (;;) {
    const middle = (low + high) / 2
    if (middle === low || middle === high) return middle
    if (normalCdf(middle) < p) low = middle
    else high = middle
  }
}
