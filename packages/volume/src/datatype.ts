import type { VoxelArray } from './volume.js'

/** Voxel types that a file may hold and that we read. */
export type StoredType =
  | 'uint8'
  | 'int8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'float32'
  | 'float64'

export const BYTES_PER_VOXEL: Record<StoredType, number> = {
  uint8: 1,
  int8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  float32: 4,
  float64: 8,
}

/** NIfTI's datatype codes (https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h). */
export const NIFTI_TYPES: ReadonlyMap<number, StoredType> = new Map([
  [2, 'uint8'],
  [4, 'int16'],
  [8, 'int32'],
  [16, 'float32'],
  [64, 'float64'],
  [256, 'int8'],
  [512, 'uint16'],
  [768, 'uint32'],
  [1024, 'int64'],
  [1280, 'uint64'],
])

/** Types of NIfTI that are no single number per voxel, or that JavaScript cannot hold, by the name a person knows. */
export const NIFTI_REFUSED: ReadonlyMap<number, string> = new Map([
  [0, 'no type at all'],
  [1, 'single bits'],
  [32, 'complex numbers (complex64)'],
  [128, 'colours (RGB24)'],
  [1536, '128-bit floats'],
  [1792, 'complex numbers (complex128)'],
  [2048, 'complex numbers (complex256)'],
  [2304, 'colours (RGBA32)'],
])

/** FreeSurfer's MRI_UCHAR, MRI_INT, MRI_FLOAT, MRI_SHORT, MRI_USHRT. */
export const MGH_TYPES: ReadonlyMap<number, StoredType> = new Map([
  [0, 'uint8'],
  [1, 'int32'],
  [3, 'float32'],
  [4, 'int16'],
  [10, 'uint16'],
])

/** The NIfTI datatype code of a typed array. */
export function niftiCode(voxels: VoxelArray): number {
  if (voxels instanceof Uint8Array) return 2
  if (voxels instanceof Int8Array) return 256
  if (voxels instanceof Int16Array) return 4
  if (voxels instanceof Uint16Array) return 512
  if (voxels instanceof Int32Array) return 8
  if (voxels instanceof Uint32Array) return 768
  if (voxels instanceof Float32Array) return 16
  return 64
}

/** The same bytes as unsigned numbers (or doubles) of the same width: one fast loop moves voxels of any type of that width. */
export function sameWidthView(voxels: VoxelArray): Uint8Array | Uint16Array | Uint32Array | Float64Array {
  const { buffer, byteOffset, length } = voxels
  switch (voxels.BYTES_PER_ELEMENT) {
    case 1:
      return new Uint8Array(buffer, byteOffset, length)
    case 2:
      return new Uint16Array(buffer, byteOffset, length)
    case 4:
      return new Uint32Array(buffer, byteOffset, length)
    default:
      return new Float64Array(buffer, byteOffset, length)
  }
}

/** An empty array of the same type. */
export function emptyLike<T extends VoxelArray>(voxels: T, length: number): T {
  return new (voxels.constructor as new (length: number) => T)(length)
}
