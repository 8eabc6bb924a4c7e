import { reorient, type Volume } from '@meshfl/volume'
import type { PalettePicture, Rgb } from './palette-png.js'

/** Okabe and Ito's colours, told apart with any colour vision. */
const CLASS_COLOURS: readonly Rgb[] = [
  [230, 159, 0],
  [86, 180, 233],
  [0, 158, 115],
  [240, 228, 66],
  [213, 94, 0],
  [204, 121, 167],
  [0, 114, 178],
]
const GREYS = 256 - CLASS_COLOURS.length
const PALETTE: readonly Rgb[] = [
  ...Array.from({ length: GREYS }, (_, index): Rgb => {
    const grey = Math.round((index * 255) / (GREYS - 1))
    return [grey, grey, grey]
  }),
  ...CLASS_COLOURS,
]

/** The colour of a class's outline; the background has none. */
export function classColour(value: number): Rgb {
  return CLASS_COLOURS[(value - 1) % CLASS_COLOURS.length]!
}

/**
 * An axial, a coronal and a sagittal slice side by side through the middle of what is labelled, with the classes' outlines.
 * The patient's right is on the left, front and top are up (sagittal: front on the left).
 */
export function casePicture(image: Volume<Uint8Array>, label: Volume<Uint8Array>): PalettePicture {
  const scan = reorient(image, 'LIA')
  const { voxels: classes } = reorient(label, 'LIA')
  const [nx, ny, nz] = scan.shape
  const [cx, cy, cz] = middle(classes, nx, ny)
  const at = (x: number, y: number, z: number): number => x + nx * (y + ny * z)
  const slices: { width: number; height: number; index: (u: number, v: number) => number }[] = [
    { width: nx, height: nz, index: (u, v) => at(u, cy, nz - 1 - v) },
    { width: nx, height: ny, index: (u, v) => at(u, v, cz) },
    { width: nz, height: ny, index: (u, v) => at(cx, v, nz - 1 - u) },
  ]
  const width = slices.reduce((sum, slice) => sum + slice.width, 0)
  const height = Math.max(ny, nz)
  const pixels = new Uint8Array(width * height)
  let left = 0
  for (const slice of slices) {
    const top = (height - slice.height) >> 1
    for (let v = 0; v < slice.height; v++) {
      for (let u = 0; u < slice.width; u++) {
        const voxel = slice.index(u, v)
        const value = classes[voxel]!
        // A line lies inside the class that it belongs to, where right or below or left or above another one begins.
        const edge =
          value > 0 &&
          ((u > 0 && classes[slice.index(u - 1, v)]! < value) ||
            (v > 0 && classes[slice.index(u, v - 1)]! < value) ||
            (u < slice.width - 1 && classes[slice.index(u + 1, v)]! < value) ||
            (v < slice.height - 1 && classes[slice.index(u, v + 1)]! < value))
        const grey = Math.round((scan.voxels[voxel]! * (GREYS - 1)) / 255)
        pixels[(top + v) * width + left + u] = edge ? GREYS + ((value - 1) % CLASS_COLOURS.length) : grey
      }
    }
    left += slice.width
  }
  return { width, height, pixels, palette: PALETTE }
}

/** The mean position of the labelled voxels, rounded. */
function middle(classes: Uint8Array, nx: number, ny: number): [number, number, number] {
  let [sx, sy, sz, count] = [0, 0, 0, 0]
  for (let i = 0; i < classes.length; i++) {
    if (classes[i] === 0) continue
    sx += i % nx
    sy += Math.floor(i / nx) % ny
    sz += Math.floor(i / (nx * ny))
    count++
  }
  return [Math.round(sx / count), Math.round(sy / count), Math.round(sz / count)]
}
