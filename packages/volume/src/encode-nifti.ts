import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { MeshflError } from '@meshfl/core'
import { at, determinant, sameGrid, unplacedAffine, voxelSize } from './affine.js'
import { niftiCode } from './datatype.js'
import { type Affine, type Geometry, type Volume, type VoxelArray, voxelCount } from './volume.js'

export interface EncodeOptions {
  /** Compresses the file (.nii.gz). Default false. */
  gzip?: boolean
  /** At most 79 bytes; nothing else of free text is written. */
  description?: string
}

const HEADER_BYTES = 348
const DATA_OFFSET = 352
const UNITS_MM = 2
const SCANNER = 1
const gzipAsync = promisify(gzip)

/**
 * Writes a NIfTI-1 file: the affine as sform, and as qform too where it is a rotation with voxel sizes, but neither of a volume whose
 * NIfTI file had none; no scaling. Same input, same bytes: the gzip header has no name and no time.
 * @throws MeshflError `VOLUME_TOO_LARGE` where an axis is longer than the 32767 voxels of the format
 */
export async function encodeNifti(
  volume: Geometry & Pick<Volume, 'voxels' | 'isUnplaced'>,
  options: EncodeOptions = {},
): Promise<Uint8Array> {
  const { shape, affine, voxels, isUnplaced } = volume
  if (shape.some((size) => size > 0x7fff)) {
    throw new MeshflError('VOLUME_TOO_LARGE', `a NIfTI-1 file cannot hold ${shape.join(' x ')} voxels`, {
      hint: 'no axis may have more than 32767 voxels',
      data: { shape: [...shape] },
    })
  }
  if (voxels.length !== voxelCount(shape))
    throw new RangeError(`${voxels.length} voxels for a grid of ${shape.join(' x ')}`)
  const file = new Uint8Array(DATA_OFFSET + voxels.byteLength)
  const view = new DataView(file.buffer)
  view.setInt32(0, HEADER_BYTES, true)
  file[38] = 0x72 // 'r', the "regular" field of ANALYZE, which old readers look for
  for (const [i, size] of [3, ...shape, 1, 1, 1, 1].entries()) view.setInt16(40 + i * 2, size, true)
  view.setInt16(70, niftiCode(voxels), true)
  view.setInt16(72, voxels.BYTES_PER_ELEMENT * 8, true)
  const size = voxelSize(affine)
  const qform = quaternion(affine)
  for (const [i, edge] of [qform?.qfac ?? 1, ...size, 1, 1, 1, 1].entries()) view.setFloat32(76 + i * 4, edge, true)
  view.setFloat32(108, DATA_OFFSET, true)
  view.setFloat32(112, 1, true)
  file[123] = UNITS_MM
  file.set(new TextEncoder().encode(options.description ?? '').subarray(0, 79), 148)
  // Of a file in another format readers take another place: that one has to be told.
  const isImplied = isUnplaced && sameGrid(volume, { shape, affine: unplacedAffine(shape, size) }, 1e-4)
  if (!isImplied) {
    if (qform !== undefined) {
      view.setInt16(252, SCANNER, true)
      for (const [i, part] of qform.bcd.entries()) view.setFloat32(256 + i * 4, part, true)
      for (let row = 0; row < 3; row++) view.setFloat32(268 + row * 4, at(affine, row, 3), true)
    }
    view.setInt16(254, SCANNER, true)
    for (let entry = 0; entry < 12; entry++) view.setFloat32(280 + entry * 4, affine[entry] ?? 0, true)
  }
  file.set([0x6e, 0x2b, 0x31, 0], 344)
  writeLittleEndian(file, DATA_OFFSET, voxels)
  if (!options.gzip) return file
  const compressed = await gzipAsync(file)
  compressed[9] = 255 // the system that wrote it: unknown, so that all systems write the same
  return compressed
}

function writeLittleEndian(file: Uint8Array, offset: number, voxels: VoxelArray): void {
  const bytes = Buffer.from(file.buffer, offset, voxels.byteLength)
  bytes.set(new Uint8Array(voxels.buffer, voxels.byteOffset, voxels.byteLength))
  const bigEndianHere = new Uint8Array(new Uint16Array([1]).buffer)[0] === 0
  if (!bigEndianHere) return
  if (voxels.BYTES_PER_ELEMENT === 2) bytes.swap16()
  else if (voxels.BYTES_PER_ELEMENT === 4) bytes.swap32()
  else if (voxels.BYTES_PER_ELEMENT === 8) bytes.swap64()
}

/** The qform of an affine whose axes are at right angles; undefined where shears would be lost. */
function quaternion(affine: Affine): { bcd: [number, number, number]; qfac: 1 | -1 } | undefined {
  const size = voxelSize(affine)
  const qfac = determinant(affine) < 0 ? -1 : 1
  const r = (row: number, column: number): number =>
    (at(affine, row, column) / (size[column] || 1)) * (column === 2 ? qfac : 1)
  for (const [i, j] of [
    [0, 1],
    [0, 2],
    [1, 2],
  ] as const) {
    const dot = r(0, i) * r(0, j) + r(1, i) * r(1, j) + r(2, i) * r(2, j)
    if (!(Math.abs(dot) < 1e-5)) return undefined
  }
  // the largest of the four parts first: dividing by it keeps the others accurate
  const [xx, yy, zz] = [r(0, 0), r(1, 1), r(2, 2)]
  const squares = [1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz]
  const largest = squares.indexOf(Math.max(...squares))
  const part = Math.sqrt(squares[largest] ?? 0) / 2
  const over = 1 / (4 * part)
  const [ab, ac, ad] = [(r(2, 1) - r(1, 2)) * over, (r(0, 2) - r(2, 0)) * over, (r(1, 0) - r(0, 1)) * over]
  const [bc, bd, cd] = [(r(0, 1) + r(1, 0)) * over, (r(0, 2) + r(2, 0)) * over, (r(1, 2) + r(2, 1)) * over]
  const all: [number, number, number, number][] = [
    [part, ab, ac, ad],
    [ab, part, bc, bd],
    [ac, bc, part, cd],
    [ad, bd, cd, part],
  ]
  const [a, b, c, d] = all[largest] ?? [1, 0, 0, 0]
  // Readers take a = sqrt(1 - b^2 - c^2 - d^2). At a half turn (LIA is one) parts rounded down to float32 would turn that 0 into
  // 2e-4: half a unit more makes them round up, and readers then take 0.
  const sign = (a < 0 ? -1 : 1) * (Math.abs(a) < 1e-6 ? 1 + 6e-8 : 1)
  return { bcd: [b * sign, c * sign, d * sign], qfac }
}
