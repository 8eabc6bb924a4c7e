/** Colours by whole number, as NiiVue's `setColormapLabel` takes them. */
export interface LabelColourTable {
  R: number[]
  G: number[]
  B: number[]
  /** 0: transparent. */
  A: number[]
  /** The numbers, ascending without a gap. */
  I: number[]
}

/**
 * NiiVue's shader takes whatever lies in the first 2/256 of a table for what lies there (so that a voxel just above a threshold is seen):
 * with many classes that is a mixture of the background and the first of them.
 */
const LIFTED_PART = 2 / 256

/**
 * The table of a label map whose voxels are places in a list.
 * @param colours `#rrggbb` of place 1 and on; place 0, background, is transparent, and so are numbers below it, which no voxel has and which
 * keep it out of the part of the table that is lifted
 */
export function labelColourTable(colours: readonly string[]): LabelColourTable {
  const below = Math.ceil((LIFTED_PART * (colours.length + 1)) / (1 - LIFTED_PART))
  const nothing = new Array<number>(below + 1).fill(0)
  const channel = (at: number): number[] => [
    ...nothing,
    ...colours.map((hex) => Number.parseInt(hex.slice(at, at + 2), 16)),
  ]
  return {
    R: channel(1),
    G: channel(3),
    B: channel(5),
    A: [...nothing, ...colours.map(() => 255)],
    I: Array.from({ length: below + 1 + colours.length }, (_, i) => i - below),
  }
}
