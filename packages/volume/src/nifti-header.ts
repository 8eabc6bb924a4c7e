import { isNIFTI1, isNIFTI2, NIFTI1, NIFTI2 } from 'nifti-reader-js'
import { unplacedAffine } from './affine.js'
import { NIFTI_REFUSED, NIFTI_TYPES } from './datatype.js'
import { notRecognized, truncated, unsupportedType } from './read-errors.js'
import type { Affine, Shape } from './volume.js'
import type { VolumeHeader } from './volume-header.js'

const NIFTI1_BYTES = 348
const NIFTI2_BYTES = 540

/** Reads a NIfTI header, or returns undefined where the bytes are no NIfTI file. */
export function parseNiftiHeader(bytes: Uint8Array, name: string): VolumeHeader | undefined {
  // A copy of the header alone: the reader wants an ArrayBuffer, and must not look into extensions, whose sizes it trusts.
  const one = new Uint8Array(bytes.subarray(0, NIFTI1_BYTES)).buffer
  const two = new Uint8Array(bytes.subarray(0, NIFTI2_BYTES)).buffer
  let raw: ArrayBuffer
  let header: NIFTI1 | NIFTI2
  if (isNIFTI1(one, true)) {
    raw = one
    header = new NIFTI1()
  } else if (isNIFTI2(two, true)) {
    if (two.byteLength < NIFTI2_BYTES) throw truncated(name, bytes.length, NIFTI2_BYTES)
    raw = two
    header = new NIFTI2()
  } else {
    const cut = bytes.length < NIFTI1_BYTES && bytes.length >= 4 && hasNiftiSize(bytes)
    if (cut) throw truncated(name, bytes.length, NIFTI1_BYTES)
    return undefined
  }
  try {
    header.readHeader(raw)
  } catch {
    throw notRecognized(name, 'it has the magic word of NIfTI but not the size of its header')
  }
  const type = NIFTI_TYPES.get(header.datatypeCode)
  if (type === undefined) {
    throw unsupportedType(name, NIFTI_REFUSED.get(header.datatypeCode) ?? `the unknown datatype ${header.datatypeCode}`)
  }
  const { shape, volumes } = dimensions(header.dims, name)
  const separate = header.magic.startsWith('ni')
  return {
    shape,
    volumes,
    type,
    affine: niftiAffine(header, raw, shape),
    littleEndian: header.littleEndian,
    dataOffset: dataOffset(header, separate, name),
    ...scaling(header.scl_slope, header.scl_inter, name),
    separate,
    ...(header.sform_code === 0 && header.qform_code === 0 ? { isUnplaced: true as const } : {}),
  }
}

function hasNiftiSize(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return [NIFTI1_BYTES, NIFTI2_BYTES].some((size) => view.getInt32(0) === size || view.getInt32(0, true) === size)
}

function dimensions(dims: readonly number[], name: string): { shape: Shape; volumes: number } {
  const rank = dims[0] ?? 0
  if (!(rank >= 1 && rank <= 7)) throw notRecognized(name, `its header claims ${rank} dimensions`)
  const sizes = dims.slice(1, rank + 1)
  if (!sizes.every((size) => Number.isSafeInteger(size) && size > 0)) {
    throw notRecognized(name, `its header claims the dimensions ${sizes.join(' x ')}`)
  }
  const [x = 1, y = 1, z = 1, ...more] = sizes
  return { shape: [x, y, z], volumes: more.reduce((product, size) => product * size, 1) }
}

function dataOffset(header: NIFTI1 | NIFTI2, separate: boolean, name: string): number {
  const offset = Math.trunc(header.vox_offset)
  const headerBytes = header instanceof NIFTI1 ? NIFTI1_BYTES : NIFTI2_BYTES
  if (!Number.isSafeInteger(offset) || offset < 0)
    throw notRecognized(name, `its voxels begin at byte ${header.vox_offset}`)
  if (separate) return offset
  // 0 means "where the header ends" in files of some old writers
  if (offset === 0) return headerBytes + 4
  if (offset < headerBytes) throw notRecognized(name, `its voxels begin at byte ${offset}, inside its header`)
  return offset
}

function scaling(slope: number, intercept: number, name: string): { slope: number; intercept: number } {
  if (slope === 0 || !Number.isFinite(slope)) return { slope: 1, intercept: 0 }
  if (!Number.isFinite(intercept)) throw notRecognized(name, `its scaling is ${slope} * voxel + ${intercept}`)
  return { slope, intercept }
}

/** As nibabel does: the sform where it has a code, else the qform where it has one, else what is taken of a file without either. */
function niftiAffine(header: NIFTI1 | NIFTI2, raw: ArrayBuffer, shape: Shape): Affine {
  if (header.sform_code !== 0) return storedRows(header, raw)
  const [dx, dy, dz] = [1, 2, 3].map((axis) => Math.abs(header.pixDims[axis] ?? 1) || 1) as [number, number, number]
  if (header.qform_code !== 0) return quaternionAffine(header, [dx, dy, dz])
  return unplacedAffine(shape, [dx, dy, dz])
}

/** The sform, from the bytes: the reader overwrites it with the qform when that has the higher code. */
function storedRows(header: NIFTI1 | NIFTI2, raw: ArrayBuffer): Affine {
  const view = new DataView(raw)
  const rows: number[] = []
  for (let entry = 0; entry < 12; entry++) {
    rows.push(
      header instanceof NIFTI1
        ? view.getFloat32(280 + entry * 4, header.littleEndian)
        : view.getFloat64(400 + entry * 8, header.littleEndian),
    )
  }
  return [...rows, 0, 0, 0, 1]
}

/** METHOD 2 of nifti1.h. */
function quaternionAffine(header: NIFTI1 | NIFTI2, [dx, dy, dz]: readonly [number, number, number]): Affine {
  let [b, c, d] = [header.quatern_b, header.quatern_c, header.quatern_d]
  let a = Math.sqrt(Math.max(0, 1 - (b * b + c * c + d * d)))
  const norm = Math.hypot(a, b, c, d)
  a /= norm
  b /= norm
  c /= norm
  d /= norm
  const k = header.pixDims[0] === -1 ? -dz : dz
  return [
    (a * a + b * b - c * c - d * d) * dx,
    2 * (b * c - a * d) * dy,
    2 * (b * d + a * c) * k,
    header.qoffset_x,
    2 * (b * c + a * d) * dx,
    (a * a + c * c - b * b - d * d) * dy,
    2 * (c * d - a * b) * k,
    header.qoffset_y,
    2 * (b * d - a * c) * dx,
    2 * (c * d + a * b) * dy,
    (a * a + d * d - c * c - b * b) * k,
    header.qoffset_z,
    0,
    0,
    0,
    1,
  ]
}
