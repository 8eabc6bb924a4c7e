import { isSingular, singularAffine } from './affine.js'
import { BYTES_PER_VOXEL } from './datatype.js'
import { parseMghHeader } from './mgh-header.js'
import { parseNiftiHeader } from './nifti-header.js'
import { notRecognized } from './read-errors.js'
import type { VolumeHeader } from './volume-header.js'

/** The most bytes that the header of any format takes. */
export const MAX_HEADER_BYTES = 544

/**
 * Reads the header of a NIfTI-1, NIfTI-2 or MGH file, uncompressed.
 * @param bytes the beginning of the file, 544 bytes of it where it has as many
 * @param name what to call the file in an error
 * @throws MeshflError `VOLUME_NOT_RECOGNIZED`, `VOLUME_TRUNCATED`, `VOLUME_TYPE_UNSUPPORTED`, `VOLUME_AFFINE_SINGULAR`
 */
export function parseHeader(bytes: Uint8Array, name: string): VolumeHeader {
  const header = parseNiftiHeader(bytes, name) ?? parseMghHeader(bytes, name)
  if (header === undefined) {
    throw notRecognized(name, bytes.length === 0 ? 'it is empty' : 'it begins like neither a NIfTI nor an MGH file')
  }
  if (!Number.isSafeInteger(dataBytes(header))) throw notRecognized(name, 'its dimensions are absurd')
  if (isSingular(header.affine)) throw singularAffine(name, header.affine)
  return header
}

/** Bytes of all voxels of all volumes. */
export function dataBytes(header: VolumeHeader): number {
  const [x, y, z] = header.shape
  return x * y * z * header.volumes * BYTES_PER_VOXEL[header.type]
}
