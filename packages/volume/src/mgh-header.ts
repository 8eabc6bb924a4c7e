import { MGH_TYPES } from './datatype.js'
import { notRecognized, truncated, unsupportedType } from './read-errors.js'
import type { Affine, Shape } from './volume.js'
import type { VolumeHeader } from './volume-header.js'

/** Where the voxels begin: version, 4 dimensions, type, dof, geometry, and room to spare. Everything is big-endian. */
const HEADER_BYTES = 284
const VERSION = 1

/**
 * Reads the header of FreeSurfer's MGH format (https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat), or returns
 * undefined where the bytes are no MGH file.
 */
export function parseMghHeader(bytes: Uint8Array, name: string): VolumeHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 4 || view.getInt32(0) !== VERSION) return undefined
  if (bytes.length < HEADER_BYTES) throw truncated(name, bytes.length, HEADER_BYTES)
  const [x, y, z, volumes] = [4, 8, 12, 16].map((offset) => view.getInt32(offset)) as [number, number, number, number]
  if ([x, y, z, volumes].some((size) => size <= 0)) {
    throw notRecognized(name, `its header claims the dimensions ${[x, y, z, volumes].join(' x ')}`)
  }
  const code = view.getInt32(20)
  const type = MGH_TYPES.get(code)
  if (type === undefined) throw unsupportedType(name, `the MGH type ${code}`)
  return {
    shape: [x, y, z],
    volumes,
    type,
    affine: mghAffine(view, [x, y, z]),
    littleEndian: false,
    dataOffset: HEADER_BYTES,
    slope: 1,
    intercept: 0,
    separate: false,
    ...(isPlaced(view) ? {} : { isUnplaced: true as const }),
  }
}

const isPlaced = (view: DataView): boolean => view.getInt16(28) > 0

/** Direction cosines times voxel sizes; the centre of the grid (shape / 2) lies at c_ras. FreeSurfer's default where the flag is off. */
function mghAffine(view: DataView, shape: Shape): Affine {
  const good = isPlaced(view)
  const delta = [30, 34, 38].map((offset) => (good ? view.getFloat32(offset) : 1))
  const cosines = Array.from({ length: 9 }, (_, i) => (good ? view.getFloat32(42 + i * 4) : (DEFAULT_COSINES[i] ?? 0)))
  const centre = [78, 82, 86].map((offset) => (good ? view.getFloat32(offset) : 0))
  const affine: number[] = []
  for (let row = 0; row < 3; row++) {
    let shift = centre[row] ?? 0
    for (let axis = 0; axis < 3; axis++) {
      const step = (cosines[axis * 3 + row] ?? 0) * (delta[axis] ?? 1)
      affine.push(step)
      shift -= (step * (shape[axis] ?? 0)) / 2
    }
    affine.push(shift)
  }
  return [...affine, 0, 0, 0, 1]
}

/** x runs left, y runs inferior, z runs anterior. */
const DEFAULT_COSINES = [-1, 0, 0, 0, 0, -1, 0, 1, 0]
