import { createRandom } from '@meshfl/core'
import { normalCdf, normalQuantile } from './normal-distribution.js'

/** The fewer values, the more too narrow the interval: of 5, 10 and 20 normal ones it held the mean in 83, 90 and 93 % of 4,000 trials. */
const LEAST_VALUES = 10
/** Of more values the bootstrap finds what the normal distribution says, and takes long. */
const MOST_BOOTSTRAPPED = 200
const RESAMPLES = 5000
const Z = normalQuantile(0.975)

export type Interval = [low: number, high: number]

/**
 * The 95 % confidence interval of a mean over independent subjects: bootstrap, bias-corrected and accelerated (BCa; Efron, Better
 * Bootstrap Confidence Intervals, JASA 82, 1987). Draws are seeded, so equal values give an equal interval. Of more than 200
 * values it is 1.96 standard errors to either side.
 * @returns null for fewer than ten values
 */
export function bcaInterval(values: readonly number[]): Interval | null {
  const n = values.length
  if (n < LEAST_VALUES) return null
  const data = Float64Array.from(values)
  return n > MOST_BOOTSTRAPPED ? normalInterval(data) : intervalOf(data, drawnMeans(values))
}

/** Means of resamples, by seeded draws. */
export function drawnMeans(values: readonly number[]): Float64Array {
  const n = values.length
  const random = createRandom(0, 'bca-interval')
  return Float64Array.from({ length: RESAMPLES }, () => {
    let sum = 0
    for (let j = 0; j < n; j++) sum += values[random.integer(n)]!
    return sum / n
  })
}

/** The interval that a set of resampled means gives; sorts them. */
export function intervalOf(data: Float64Array, means: Float64Array): Interval {
  const n = data.length
  const total = data.reduce((sum, x) => sum + x, 0)
  const mean = total / n
  means.sort()
  // Sums of the same numbers in another order may differ in their last bits, and are ties.
  const tie = 1e-12 * data.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
  let below = 0
  let equal = 0
  for (const one of means) {
    if (one < mean - tie) below++
    else if (one <= mean + tie) equal++
  }
  const half = 0.5 / means.length
  const bias = normalQuantile(Math.max(half, Math.min(1 - half, (below + equal / 2) / means.length)))
  // The mean without x differs from the mean of all by (mean - x) / (n - 1): n - 1 cancels out.
  let squares = 0
  let cubes = 0
  const most = data.reduce((far, x) => Math.max(far, Math.abs(x - mean)), 0)
  for (const x of data) {
    const deviation = most > tie ? (x - mean) / most : 0
    squares += deviation ** 2
    cubes += deviation ** 3
  }
  const acceleration = squares === 0 ? 0 : cubes / (6 * squares ** 1.5) // 1/6 at most, so that nothing below divides by 0
  const at = (z: number): number => quantileOf(means, normalCdf(bias + (bias + z) / (1 - acceleration * (bias + z))))
  return [at(-Z), at(Z)]
}

function normalInterval(data: Float64Array): Interval {
  const mean = data.reduce((sum, x) => sum + x, 0) / data.length
  const variance = data.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (data.length - 1)
  const half = Z * Math.sqrt(variance / data.length)
  return [mean - half, mean + half]
}

/** By linear interpolation between the values next to it. */
function quantileOf(sorted: Float64Array, p: number): number {
  const place = p * (sorted.length - 1)
  const low = Math.floor(place)
  const high = Math.min(low + 1, sorted.length - 1)
  return sorted[low]! + (place - low) * (sorted[high]! - sorted[low]!)
}
