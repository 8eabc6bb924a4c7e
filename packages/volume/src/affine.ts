import { MeshflError } from '@meshfl/core'
import type { Affine, Geometry, Shape } from './volume.js'

export const IDENTITY: Affine = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]

/** Entry (row, column) of an affine. */
export function at(affine: Affine, row: number, column: number): number {
  return affine[row * 4 + column] ?? 0
}

/** The product a * b: first b, then a. */
export function multiplyAffine(a: Affine, b: Affine): number[] {
  const product = new Array<number>(16).fill(0)
  for (let row = 0; row < 4; row++)
    for (let column = 0; column < 4; column++) {
      let sum = 0
      for (let k = 0; k < 4; k++) sum += at(a, row, k) * at(b, k, column)
      product[row * 4 + column] = sum
    }
  return product
}

/** Determinant of the 3x3 part: signed mm^3 of a voxel. */
export function determinant(affine: Affine): number {
  const [a, b, c, d, e, f, g, h, i] = linearPart(affine)
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
}

/** Whether the affine maps voxels onto a plane or a line, or holds NaN or infinity: nothing can be resampled with it. */
export function isSingular(affine: Affine): boolean {
  if (affine.length !== 16 || !affine.every(Number.isFinite)) return true
  const [x, y, z] = voxelSize(affine)
  return !(Math.abs(determinant(affine)) > 1e-6 * x * y * z)
}

/**
 * The affine from RAS millimetres back to voxel indices.
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function invertAffine(affine: Affine): number[] {
  if (isSingular(affine)) throw singularAffine('a volume', affine)
  const [a, b, c, d, e, f, g, h, i] = linearPart(affine)
  const scale = 1 / determinant(affine)
  const inverse = [
    (e * i - f * h) * scale,
    (c * h - b * i) * scale,
    (b * f - c * e) * scale,
    (f * g - d * i) * scale,
    (a * i - c * g) * scale,
    (c * d - a * f) * scale,
    (d * h - e * g) * scale,
    (b * g - a * h) * scale,
    (a * e - b * d) * scale,
  ]
  const [x, y, z] = [at(affine, 0, 3), at(affine, 1, 3), at(affine, 2, 3)]
  const result = new Array<number>(16).fill(0)
  for (let row = 0; row < 3; row++) {
    const [p, q, r] = inverse.slice(row * 3, row * 3 + 3) as [number, number, number]
    result.splice(row * 4, 4, p, q, r, -(p * x + q * y + r * z))
  }
  result[15] = 1
  return result
}

/** Maps a point, e.g. a voxel index to RAS millimetres. */
export function applyAffine(affine: Affine, [x, y, z]: readonly [number, number, number]): [number, number, number] {
  const row = (r: number): number =>
    at(affine, r, 0) * x + at(affine, r, 1) * y + at(affine, r, 2) * z + at(affine, r, 3)
  return [row(0), row(1), row(2)]
}

/** Edges of a voxel along x, y, z, millimetres. */
export function voxelSize(affine: Affine): [number, number, number] {
  const edge = (column: number): number =>
    Math.hypot(at(affine, 0, column), at(affine, 1, column), at(affine, 2, column))
  return [edge(0), edge(1), edge(2)]
}

/** Volume of one voxel, millilitres. */
export function voxelVolumeMl(affine: Affine): number {
  return Math.abs(determinant(affine)) / 1000
}

/** Whether two volumes have the same shape and no voxel of one lies further than `toleranceMm` from its twin in the other. */
export function sameGrid(a: Geometry, b: Geometry, toleranceMm = 1e-3): boolean {
  if (a.shape.some((size, axis) => size !== b.shape[axis])) return false
  // the distance between twins is convex, so it is largest at a corner
  for (let corner = 0; corner < 8; corner++) {
    const index = a.shape.map((size, axis) => ((corner >> axis) & 1) * (size - 1)) as [number, number, number]
    const [p, q] = [applyAffine(a.affine, index), applyAffine(b.affine, index)]
    if (!(Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]) <= toleranceMm)) return false
  }
  return true
}

export function singularAffine(name: string, affine: Affine): MeshflError {
  return new MeshflError(
    'VOLUME_AFFINE_SINGULAR',
    `${name} does not say where its voxels are: its affine cannot be inverted`,
    {
      hint: 'correct the sform or qform of the file (for instance with nibabel or fslorient), or convert it again from its source',
      data: { name, affine: [...affine] },
    },
  )
}

type Linear = [number, number, number, number, number, number, number, number, number]

function linearPart(affine: Affine): Linear {
  return [0, 1, 2].flatMap((row) => [0, 1, 2].map((column) => at(affine, row, column))) as Linear
}

/** What readers of NIfTI take where a file does not say how it lies: a grid centred on 0 whose axes run to the left, front and top. */
export function unplacedAffine(shape: Shape, [dx, dy, dz]: readonly [number, number, number]): Affine {
  const [cx, cy, cz] = shape.map((size) => (size - 1) / 2) as [number, number, number]
  return [-dx, 0, 0, cx * dx, 0, dy, 0, -cy * dy, 0, 0, dz, -cz * dz, 0, 0, 0, 1]
}
