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
  let { low, high } = intensityRange(voxels)
  if (low === high) {
    // what numpy's histogram makes of an empty range
    low -= 0.5
    high += 0.5
  }
  const edges = Float64Array.from({ length: BINS + 1 }, (_, i) => (i === BINS ? high : low + i * ((high - low) / BINS)))
  const { counts, nonZero } = histogram(voxels, edges)
  const cutoff = voxels.length - Math.trunc((1 - F_HIGH) * nonZero)
  // the first edge that `cutoff` voxels lie below, less two, as FastSurfer does
  let below = 0
  let edge = 0
  while (edge < BINS && below < cutoff) below += counts[edge++] as number
  const upper = edge - 2
  // before the first edge it counts from the last, as a negative index does in the original
  const source = edges[upper < 0 ? upper + BINS + 1 : upper] as number
  return source === low ? { low, scale: 1 } : { low, scale: TOP / (source - low) }
}

/** Counts voxels per bin, as numpy does: a bin holds its lower edge, the last bin its upper edge as well. */
function histogram(voxels: VoxelArray, edges: Float64Array): { counts: Float64Array; nonZero: number } {
  const counts = new Float64Array(BINS)
  const low = edges[0] as number
  const perBin = BINS / ((edges[BINS] as number) - low)
  let nonZero = 0
  for (let i = 0; i < voxels.length; i++) {
    const value = voxels[i] as number
    if (value >= 1e-15 || value <= -1e-15) nonZero++
    let bin = Math.trunc((value - low) * perBin)
    if (bin >= BINS) bin = BINS - 1
    // the multiplication may be off by one bin at an edge
    if (value < (edges[bin] as number)) bin--
    else if (bin < BINS - 1 && value >= (edges[bin + 1] as number)) bin++
    counts[bin] = (counts[bin] as number) + 1
  }
  return { counts, nonZero }
}
