export type PlaneName = 'axial' | 'coronal' | 'sagittal'
/** `radiological`: the subject's right is on the left of the picture. `neurological`: on the right. */
export type Convention = 'radiological' | 'neurological'
type Direction = 'R' | 'L' | 'A' | 'P' | 'S' | 'I'

const OPPOSITE: Record<Direction, Direction> = { R: 'L', L: 'R', A: 'P', P: 'A', S: 'I', I: 'S' }

/** The anatomical direction at each edge of a picture. */
export interface Edges {
  left: Direction
  right: Direction
  top: Direction
  bottom: Direction
}

/** How a plane of a volume becomes a picture: which voxel axis runs across, down and through, and whether it is flipped. */
export interface PlaneLayout {
  plane: PlaneName
  edges: Edges
  across: { axis: number; flip: boolean }
  down: { axis: number; flip: boolean }
  through: number
}

/**
 * Lays out the three planes. Anterior is at the top of the axial plane and at the left of the sagittal one, superior at the top
 * of the other two.
 * @param orientation the directions in which the voxel indices x, y, z grow, for example `LIA` for FreeSurfer's conformed grid
 */
export function planeLayouts(orientation: string, convention: Convention): PlaneLayout[] {
  const letters = [...orientation] as Direction[]
  const axisOf = (direction: Direction): number =>
    letters.findIndex((letter) => letter === direction || letter === OPPOSITE[direction])
  if (letters.length !== 3 || (['R', 'A', 'S'] as const).some((direction) => axisOf(direction) < 0)) {
    throw new RangeError(`"${orientation}" is no orientation of three axes`)
  }
  const side: Direction = convention === 'radiological' ? 'R' : 'L'
  /** The voxel axis along which a picture runs away from `start`. */
  const from = (start: Direction): { axis: number; flip: boolean } => {
    const axis = axisOf(start)
    return { axis, flip: letters[axis] === start }
  }
  const layout = (plane: PlaneName, left: Direction, top: Direction, through: Direction): PlaneLayout => ({
    plane,
    edges: { left, right: OPPOSITE[left], top, bottom: OPPOSITE[top] },
    across: from(left),
    down: from(top),
    through: axisOf(through),
  })
  return [layout('axial', side, 'A', 'S'), layout('coronal', side, 'S', 'A'), layout('sagittal', 'A', 'S', 'R')]
}

/** A box of voxels: the first and the last index along x, y, z. */
export interface Box {
  first: [number, number, number]
  last: [number, number, number]
}

/** The size in pixels of a plane of a box. */
export function planeSize(layout: PlaneLayout, box: Box): { width: number; height: number } {
  const size = (axis: number): number => box.last[axis]! - box.first[axis]! + 1
  return { width: size(layout.across.axis), height: size(layout.down.axis) }
}

/**
 * Visits the pixels of one slice, rows from the top.
 * @param visit gets the pixel's index in the picture and the voxel's index in the volume (x fastest)
 */
export function forEachPixel(
  layout: PlaneLayout,
  shape: readonly [number, number, number],
  box: Box,
  slice: number,
  visit: (pixel: number, voxel: number) => void,
): void {
  const strides = [1, shape[0], shape[0] * shape[1]] as const
  const { across, down } = layout
  const { width, height } = planeSize(layout, box)
  const base = slice * strides[layout.through]!
  for (let row = 0; row < height; row++) {
    const v = down.flip ? box.last[down.axis]! - row : box.first[down.axis]! + row
    for (let column = 0; column < width; column++) {
      const u = across.flip ? box.last[across.axis]! - column : box.first[across.axis]! + column
      visit(row * width + column, base + u * strides[across.axis]! + v * strides[down.axis]!)
    }
  }
}
