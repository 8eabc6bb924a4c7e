import type { Shape } from '@meshfl/volume'

/** A part of a volume: its first voxel, and how many there are along x, y and z. */
export interface Box {
  low: Shape
  size: Shape
}

/** The smallest box around each class in either of two label volumes; undefined for a class that is in neither, and for background. */
export function classBoxes(
  truth: ArrayLike<number>,
  prediction: ArrayLike<number>,
  classes: number,
  [width, height, depth]: Shape,
): (Box | undefined)[] {
  const low = Array.from({ length: classes }, () => [width, height, depth])
  const high = Array.from({ length: classes }, () => [-1, -1, -1])
  for (let z = 0, i = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        const [a, b] = [truth[i]!, prediction[i]!]
        if (a !== 0) widen(low[a]!, high[a]!, x, y, z)
        if (b !== 0 && b !== a) widen(low[b]!, high[b]!, x, y, z)
      }
    }
  }
  return low.map(([x, y, z], value) => {
    const [right, top, back] = high[value]!
    if (right! < 0) return undefined
    return { low: [x!, y!, z!], size: [right! - x! + 1, top! - y! + 1, back! - z! + 1] }
  })
}

function widen(low: number[], high: number[], x: number, y: number, z: number): void {
  if (x < low[0]!) low[0] = x
  if (x > high[0]!) high[0] = x
  if (y < low[1]!) low[1] = y
  if (y > high[1]!) high[1] = y
  if (z < low[2]!) low[2] = z
  if (z > high[2]!) high[2] = z
}
