import type { Grid } from '../engine.js'

/** The largest number from 0 to `most` for which `fits` holds, as it does for 0 and for all below one for which it does. */
export function mostThatFit(most: number, fits: (count: number) => boolean): number {
  let [fitting, beyond] = [0, most + 1]
  while (beyond - fitting > 1) {
    const middle = Math.floor((fitting + beyond) / 2)
    if (fits(middle)) fitting = middle
    else beyond = middle
  }
  return fitting
}

/** The largest grid of the same shape for which `fits` holds, within a thousandth of an edge; null where none does. */
export function largestThatFits(grid: Grid, fits: (smaller: Grid) => boolean): Grid | null {
  const scaled = (factor: number): Grid => ({
    depth: Math.max(1, Math.floor(grid.depth * factor)),
    height: Math.max(1, Math.floor(grid.height * factor)),
    width: Math.max(1, Math.floor(grid.width * factor)),
  })
  let found = 0
  for (let step = 0.5; step > 0.001; step /= 2) {
    if (fits(scaled(found + step))) found += step
  }
  return found > 0 ? scaled(found) : null
}
