import { CLASS_COLOURS } from '../../slices/palette.js'

/** The CSS class that carries the colours of a segmentation class; background has none. */
export function classKey(index: number): string {
  return index < 1 ? '' : `k${((index - 1) % CLASS_COLOURS.length) + 1}`
}
