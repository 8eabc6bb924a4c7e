import { MeshflError } from '@meshfl/core'
import { BYTES_PER_VOXEL, type StoredType } from './datatype.js'
import type { VoxelArray } from './volume.js'

const LITTLE_ENDIAN_HERE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/**
 * Voxels of a file as a typed array. A view of `bytes` where byte order and alignment allow it, else a copy.
 * 64-bit integers become doubles, exact up to 2^53.
 */
export function decodeVoxels(
  bytes: Uint8Array,
  offset: number,
  count: number,
  type: StoredType,
  littleEndian: boolean,
): VoxelArray {
  const width = BYTES_PER_VOXEL[type]
  let start = bytes.byteOffset + offset
  let buffer = bytes.buffer
  if (width > 1 && (littleEndian !== LITTLE_ENDIAN_HERE || start % width !== 0)) {
    const copy = new Uint8Array(bytes.subarray(offset, offset + count * width))
    if (littleEndian !== LITTLE_ENDIAN_HERE) {
      // Buffer's swaps are native loops
      const swapped = Buffer.from(copy.buffer, copy.byteOffset, copy.byteLength)
      if (width === 2) swapped.swap16()
      else if (width === 4) swapped.swap32()
      else swapped.swap64()
    }
    buffer = copy.buffer
    start = 0
  }
  switch (type) {
    case 'uint8':
      return new Uint8Array(buffer, start, count)
    case 'int8':
      return new Int8Array(buffer, start, count)
    case 'int16':
      return new Int16Array(buffer, start, count)
    case 'uint16':
      return new Uint16Array(buffer, start, count)
    case 'int32':
      return new Int32Array(buffer, start, count)
    case 'uint32':
      return new Uint32Array(buffer, start, count)
    case 'float32':
      return new Float32Array(buffer, start, count)
    case 'float64':
      return new Float64Array(buffer, start, count)
    case 'int64':
      return doubles(new BigInt64Array(buffer, start, count))
    case 'uint64':
      return doubles(new BigUint64Array(buffer, start, count))
  }
}

function doubles(wide: BigInt64Array | BigUint64Array): Float64Array {
  const values = new Float64Array(wide.length)
  for (let i = 0; i < wide.length; i++) values[i] = Number(wide[i])
  return values
}

/** slope * stored + intercept, as float32; the voxels themselves where there is nothing to scale. */
export function applyScaling(voxels: VoxelArray, slope: number, intercept: number): VoxelArray {
  if (slope === 1 && intercept === 0) return voxels
  const scaled = new Float32Array(voxels.length)
  for (let i = 0; i < scaled.length; i++) scaled[i] = slope * (voxels[i] as number) + intercept
  return scaled
}

/**
 * Looks for NaN and infinity in float voxels.
 * @returns the voxels, with zeros in their place where `nanToZero` is set, and how many there were
 * @throws MeshflError `VOLUME_NOT_FINITE` unless `nanToZero` is set
 */
export function checkFinite(
  voxels: VoxelArray,
  name: string,
  nanToZero: boolean,
): { voxels: VoxelArray; zeroed: number } {
  if (!(voxels instanceof Float32Array || voxels instanceof Float64Array)) return { voxels, zeroed: 0 }
  let count = 0
  for (let i = 0; i < voxels.length; i++) if (!Number.isFinite(voxels[i])) count++
  if (count === 0) return { voxels, zeroed: 0 }
  if (!nanToZero) {
    throw new MeshflError('VOLUME_NOT_FINITE', `${name} has ${count} voxels that are NaN or infinite`, {
      hint: 'pass --nan-to-zero to read them as 0, or repair the file',
      data: { name, count },
    })
  }
  const repaired = voxels.slice()
  for (let i = 0; i < repaired.length; i++) if (!Number.isFinite(repaired[i])) repaired[i] = 0
  return { voxels: repaired, zeroed: count }
}

/**
 * Labels as integers: integer voxels as they are, floats whose values are all integers in the smallest type that holds them.
 * @throws MeshflError `LABEL_NOT_INTEGER`
 */
export function integerLabels(voxels: VoxelArray, name: string): VoxelArray {
  if (!(voxels instanceof Float32Array || voxels instanceof Float64Array)) return voxels
  let low = 0
  let high = 0
  for (let i = 0; i < voxels.length; i++) {
    const value = voxels[i] as number
    if (!Number.isInteger(value)) throw notInteger(name, value)
    if (value < low) low = value
    else if (value > high) high = value
  }
  if (low >= 0) {
    if (high <= 0xff) return new Uint8Array(voxels)
    if (high <= 0xffff) return new Uint16Array(voxels)
    if (high <= 0xffffffff) return new Uint32Array(voxels)
  } else {
    if (low >= -0x80 && high <= 0x7f) return new Int8Array(voxels)
    if (low >= -0x8000 && high <= 0x7fff) return new Int16Array(voxels)
    if (low >= -0x80000000 && high <= 0x7fffffff) return new Int32Array(voxels)
  }
  throw notInteger(name, low < -0x80000000 ? low : high)
}

function notInteger(name: string, value: number): MeshflError {
  return new MeshflError('LABEL_NOT_INTEGER', `${name} is no label volume: it holds the value ${value}`, {
    hint: 'a label volume holds one whole number per voxel; is this an image, or a label that was resampled with interpolation?',
    data: { name, value },
  })
}
