import { MeshflError } from '@meshfl/core'
import { at, invertAffine, multiplyAffine, voxelSize } from './affine.js'
import { emptyLike, sameWidthView } from './datatype.js'
import { type Affine, type Shape, type Volume, type VoxelArray, voxelCount } from './volume.js'

const POSITIVE = 'RAS'
const NEGATIVE = 'LPI'

interface Direction {
  /** The anatomical axis: 0 left-right, 1 posterior-anterior, 2 inferior-superior. */
  axis: number
  /** 1 towards R, A, S; -1 towards L, P, I. */
  sign: 1 | -1
}

/**
 * Where each voxel axis points, as nibabel's `aff2axcodes` says it: `RAS`, `LIA`, ...
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function orientation(affine: Affine): string {
  return directions(affine)
    .map(({ axis, sign }) => (sign > 0 ? POSITIVE : NEGATIVE)[axis])
    .join('')
}

/**
 * The same image with its voxel axes flipped and swapped so that they point to `axcodes`. No value changes; every voxel stays
 * where it is in millimetres. The volume itself where it points there already.
 * @param axcodes e.g. `RAS`
 * @throws MeshflError `USAGE_AXCODES`, `VOLUME_AFFINE_SINGULAR`
 */
export function reorient<T extends VoxelArray>(volume: Volume<T>, axcodes: string): Volume<T> {
  const wanted = parseAxcodes(axcodes)
  const have = directions(volume.affine)
  // target axis t runs along source axis source[t], backwards where flip[t]
  const source = wanted.map(({ axis }) => have.findIndex((direction) => direction.axis === axis))
  const flip = wanted.map(({ sign }, target) => have[source[target] ?? 0]?.sign !== sign)
  if (source.every((axis, target) => axis === target) && !flip.includes(true)) return volume
  const strides = [1, volume.shape[0], volume.shape[0] * volume.shape[1]]
  const toSource = new Array<number>(16).fill(0)
  toSource[15] = 1
  const shape: number[] = []
  const steps: number[] = []
  let start = 0
  for (let target = 0; target < 3; target++) {
    const from = source[target] ?? 0
    const size = volume.shape[from] ?? 1
    const stride = strides[from] ?? 1
    shape.push(size)
    steps.push(flip[target] ? -stride : stride)
    if (flip[target]) start += (size - 1) * stride
    toSource[from * 4 + target] = flip[target] ? -1 : 1
    toSource[from * 4 + 3] = flip[target] ? size - 1 : 0
  }
  const voxels = emptyLike(volume.voxels, voxelCount(volume.shape))
  gather(sameWidthView(volume.voxels), sameWidthView(voxels), shape, steps, start)
  return { ...volume, shape: shape as unknown as Shape, affine: multiplyAffine(volume.affine, toSource), voxels }
}

type Plain = Uint8Array | Uint16Array | Uint32Array | Float64Array

function gather(from: Plain, to: Plain, shape: readonly number[], steps: readonly number[], start: number): void {
  const [nx = 1, ny = 1, nz = 1] = shape
  const [sx = 1, sy = 1, sz = 1] = steps
  let out = 0
  for (let z = 0; z < nz; z++)
    for (let y = 0; y < ny; y++) {
      let index = start + z * sz + y * sy
      for (let x = 0; x < nx; x++) {
        to[out++] = from[index] as number
        index += sx
      }
    }
}

function parseAxcodes(axcodes: string): Direction[] {
  const wanted = [...axcodes.toUpperCase()].map((letter): Direction => {
    const positive = POSITIVE.indexOf(letter)
    return positive >= 0 ? { axis: positive, sign: 1 } : { axis: NEGATIVE.indexOf(letter), sign: -1 }
  })
  const axes = new Set(wanted.map(({ axis }) => axis))
  if (wanted.length !== 3 || axes.size !== 3 || axes.has(-1)) {
    throw new MeshflError('USAGE_AXCODES', `"${axcodes}" is no orientation`, {
      kind: 'usage',
      hint: 'give one of L or R, one of P or A, one of I or S, in the order of the voxel axes, for instance RAS',
      data: { axcodes },
    })
  }
  return wanted
}

/** Each voxel axis takes the anatomical axis that it changes most, in order, no axis twice. */
function directions(affine: Affine): Direction[] {
  const rotation = closestRotation(affine)
  const taken = new Set<number>()
  return [0, 1, 2].map((column): Direction => {
    let best = -1
    for (let row = 0; row < 3; row++) {
      if (taken.has(row)) continue
      if (best < 0 || Math.abs(at(rotation, row, column)) > Math.abs(at(rotation, best, column))) best = row
    }
    taken.add(best)
    return { axis: best, sign: at(rotation, best, column) < 0 ? -1 : 1 }
  })
}

/** The orthogonal matrix nearest to the affine without its voxel sizes (its polar factor), by Higham's Newton iteration. */
function closestRotation(affine: Affine): Affine {
  const size = voxelSize(affine)
  let current: Affine = affine.map((value, i) =>
    i >= 12 || i % 4 === 3 ? (i === 15 ? 1 : 0) : value / (size[i % 4] || 1),
  )
  for (let round = 0; round < 50; round++) {
    const inverse = invertAffine(current)
    let change = 0
    const next = current.map((value, i) => {
      if (i >= 12 || i % 4 === 3) return value
      const average = (value + at(inverse, i % 4, Math.floor(i / 4))) / 2
      change = Math.max(change, Math.abs(average - value))
      return average
    })
    current = next
    if (change < 1e-12) break
  }
  return current
}
