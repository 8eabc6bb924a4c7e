import type { VoxelArray } from './volume.js'

/** value -> scale * (value - low): how intensities become 0..255. */
export interface IntensityScale {
  readonly low: number
  readonly scale: number
}

const BINS = 1000
const F_HIGH = 0.999
const TOP = 255

/** Smallest and largest voxel; 0 and 0 of no voxels. */
export function intensityRange(voxels: VoxelArray): { low: number; high: number } {
  if (voxels.length === 0) return { low: 0, high: 0 }
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (let i = 0; i < voxels.length; i++) {
    const value = voxels[i] as number
    if (value < low) low = value
    if (value > high) high = value
  }
  return { low, high }
}

/** Minimum to 0, maximum to 255. A constant image becomes 0. */
export function fullRangeScale(voxels: VoxelArray): IntensityScale {
  const { low, high } = intensityRange(voxels)
  return { low, scale: high > low ? TOP / (high - low) : 1 }
}

/**
 * FreeSurfer's robust rescale as FastSurfer's `getscale` computes it, with f_low 0 and f_high 0.999: the minimum becomes 0,
 * and the brightest thousandth of the voxels that are not 0 is cropped, over a histogram of 1000 bins
 * (https://github.com/Deep-MI/FastSurfer/blob/dev/FastSurferCNN/data_loader/conform.py).
 */
export function robustScale(voxels: VoxelArray): IntensityScale {
  const { low, high } = intensityRange(voxels)
  if (!(high > low)) return { low, scale: 1 }
  const { counts, nonZero } = histogram(voxels, low, high)
  const cutoff = voxels.length - Math.trunc((1 - F_HIGH) * nonZero)
  // the first bin edge that `cutoff` voxels lie below, less two, as FastSurfer does
  let below = 0
  let edge = 0
  while (edge < BINS && below < cutoff) below += counts[edge++] as number
  const upper = edge - 2
  // an edge before the first counts from the end, as a negative index does in the original
  const source = low + ((upper < 0 ? upper + BINS + 1 : upper) * (high - low)) / BINS
  return source === low ? { low, scale: 1 } : { low, scale: TOP / (source - low) }
}

function histogram(voxels: VoxelArray, low: number, high: number): { counts: Float64Array; nonZero: number } {
  const counts = new Float64Array(BINS)
  const perBin = BINS / (high - low)
  let nonZero = 0
  for (let i = 0; i < voxels.length; i++) {
    const value = voxels[i] as number
    if (value >= 1e-15 || value <= -1e-15) nonZero++
    const bin = Math.trunc((value - low) * perBin)
    counts[bin < BINS ? bin : BINS - 1]! += 1
  }
  return { counts, nonZero }
}
