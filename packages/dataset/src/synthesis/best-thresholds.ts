import type { Dice } from '@meshfl/core'

/** An image and its gw3 labels, voxel by voxel. */
export interface ThresholdCase {
  image: Uint8Array
  label: Uint8Array
}

/** The pair of thresholds with the largest foreground Dice. */
export interface BestThresholds extends Dice {
  /** Below it is background. */
  low: number
  /** From it on is white matter; between the two is grey matter. */
  high: number
}

/**
 * The best that two thresholds on intensity can do over all the cases together: every pair 0 <= low <= high <= 256 is tried,
 * on cumulative histograms of the classes. It is a bound from above for segmentation by intensity, since the truth chooses.
 * @param classNames of values 0 (background), 1 (white matter), 2 (grey matter)
 */
export function bestThresholds(
  cases: readonly ThresholdCase[],
  classNames: readonly [string, string, string],
): BestThresholds {
  // below[class * 257 + t]: voxels of the class with an intensity under t
  const below = new Float64Array(3 * 257)
  for (const { image, label } of cases) {
    for (let i = 0; i < image.length; i++) {
      const value = label[i]!
      if (value < 3) below[value * 257 + image[i]! + 1]!++
    }
  }
  for (let t = 1; t <= 256; t++) for (const c of [0, 257, 514]) below[c + t]! += below[c + t - 1]!
  const background = below.subarray(0, 257)
  const white = below.subarray(257, 514)
  const grey = below.subarray(514)
  const all = white.map((count, t) => count + grey[t]! + background[t]!)
  const dice = (hit: number, predicted: number, truth: number): number | null =>
    predicted + truth === 0 ? null : (2 * hit) / (predicted + truth)

  let best = { low: 0, high: 0, white: null as number | null, grey: null as number | null, mean: -1 }
  for (let high = 0; high <= 256; high++) {
    const whiteDice = dice(white[256]! - white[high]!, all[256]! - all[high]!, white[256]!)
    for (let low = 0; low <= high; low++) {
      const greyDice = dice(grey[high]! - grey[low]!, all[high]! - all[low]!, grey[256]!)
      const scored = [whiteDice, greyDice].filter((value) => value !== null)
      const mean = scored.reduce((sum, value) => sum + value, 0) / Math.max(scored.length, 1)
      if (mean > best.mean) best = { low, high, white: whiteDice, grey: greyDice, mean }
    }
  }
  return {
    low: best.low,
    high: best.high,
    foregroundDice: best.white === null && best.grey === null ? null : best.mean,
    perClass: {
      [classNames[0]]: dice(background[best.low]!, all[best.low]!, background[256]!),
      [classNames[1]]: best.white,
      [classNames[2]]: best.grey,
    },
  }
}
