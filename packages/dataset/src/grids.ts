import { MeshflError } from '@meshfl/core'
import { applyAffine, type Geometry, sameGrid, voxelSize } from '@meshfl/volume'

/** The part of the smaller field of view that the two must share for an affine to be believed. */
const MIN_OVERLAP = 0.5

/**
 * Holds a label's grid against its image's. Different grids are fine where their affines say how one lies in the other: both
 * are resampled to the dataset's grid.
 * @param names what to call the image and the label in an error
 * @throws MeshflError `LABEL_GRID_MISMATCH` when the affines cannot both be true
 */
export function checkGrids(image: Geometry, label: Geometry, names: { image: string; label: string }): void {
  if (sameGrid(image, label, 0.01)) return
  const reason = conflict(image, label)
  if (reason === null) return
  throw new MeshflError(
    'LABEL_GRID_MISMATCH',
    `label ${names.label} and image ${names.image} are on different grids, and ${reason}: the label is ${describe(label)}, the image ${describe(image)}`,
    {
      hint: "resample the label onto its image's grid (nearest neighbour), or check that the two belong together",
      data: { image: plain(image), label: plain(label) },
    },
  )
}

function conflict(image: Geometry, label: Geometry): string | null {
  const sameShape = image.shape.every((size, axis) => size === label.shape[axis])
  if (!sameShape && image.affine.every((value, index) => Math.abs(value - label.affine[index]!) < 1e-3)) {
    return 'one affine cannot be right for both shapes'
  }
  for (const [name, geometry] of [
    ['label', label],
    ['image', image],
  ] as const) {
    if (isPlain(geometry)) return `the ${name} has no position of its own`
  }
  const shared = overlap(image, label)
  if (shared < MIN_OVERLAP) return `they share ${Math.round(shared * 100)} % of the smaller field of view`
  return null
}

/** Whether the affine says nothing but the voxel size: the identity, or the centred grid of a file without sform and qform. */
function isPlain({ shape, affine }: Geometry): boolean {
  const size = voxelSize(affine)
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < 3; column++) {
      if (row !== column && affine[row * 4 + column] !== 0) return false
    }
  }
  const identity = size.every((edge) => edge === 1) && [3, 7, 11].every((index) => affine[index] === 0)
  const centre = applyAffine(affine, [(shape[0] - 1) / 2, (shape[1] - 1) / 2, (shape[2] - 1) / 2])
  return identity || centre.every((value) => Math.abs(value) < 1e-3)
}

/** Shared volume of the two fields of view (their boxes along the axes of the world) over the smaller one's. */
function overlap(a: Geometry, b: Geometry): number {
  const [boxA, boxB] = [boxOf(a), boxOf(b)]
  const volume = (box: [number, number][]): number => box.reduce((product, [low, high]) => product * (high - low), 1)
  const shared = boxA.map(([low, high], axis): [number, number] => {
    const from = Math.max(low, boxB[axis]![0])
    return [from, Math.max(from, Math.min(high, boxB[axis]![1]))]
  })
  return volume(shared) / Math.min(volume(boxA), volume(boxB))
}

function boxOf({ shape, affine }: Geometry): [number, number][] {
  const box = [0, 1, 2].map((): [number, number] => [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
  for (let corner = 0; corner < 8; corner++) {
    const index = shape.map((size, axis) => ((corner >> axis) & 1 ? size - 0.5 : -0.5)) as [number, number, number]
    for (const [axis, value] of applyAffine(affine, index).entries()) {
      box[axis] = [Math.min(box[axis]![0], value), Math.max(box[axis]![1], value)]
    }
  }
  return box
}

function describe({ shape, affine }: Geometry): string {
  const rows = [0, 1, 2].map((row) =>
    affine
      .slice(row * 4, row * 4 + 4)
      .map((value) => Number(value.toFixed(3)) + 0)
      .join(' '),
  )
  return `${shape.join('x')} with affine [${rows.join('; ')}]`
}

function plain({ shape, affine }: Geometry): Record<string, unknown> {
  return { shape: [...shape], affine: [...affine] }
}
