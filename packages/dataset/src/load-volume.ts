import { join } from 'node:path'
import { MeshflError, mayPass, sha256 } from '@meshfl/core'
import { type Affine, readVolume, type Shape } from '@meshfl/volume'

/** One volume of a dataset, and what its manifest says of it. */
export interface VolumeRequest {
  /** The dataset's folder. */
  root: string
  /** The volume's path inside it. */
  file: string
  kind: 'image' | 'label'
  shape: Shape
  /** Hash of its voxels; absent: it was compared before. */
  sha256?: string
}

export interface LoadedVolume {
  voxels: Uint8Array
  affine: Affine
}

/**
 * Reads a volume of a dataset and holds it against the manifest.
 * @throws MeshflError `DATASET_CORRUPT`, `FILE_SERVER_AWAY`, `OPEN_FILES_USED_UP`
 */
export async function loadVolume({ root, file, kind, shape, sha256: expected }: VolumeRequest): Promise<LoadedVolume> {
  const path = join(root, file)
  const corrupt = (what: string, cause?: unknown): MeshflError =>
    new MeshflError('DATASET_CORRUPT', `${path} ${what}`, {
      hint: 'make the dataset again with meshfl split, or copy it again from where it was made',
      data: { path },
      ...(cause === undefined ? {} : { cause }),
    })
  const volume = await readVolume(path, { kind }).catch((error: unknown) => {
    // A file server that is away says nothing about the dataset.
    if (mayPass(error) || !(error instanceof MeshflError)) throw error
    throw corrupt(`cannot be read: ${error.message}`, error)
  })
  if (volume.shape.join() !== shape.join())
    throw corrupt(`is ${volume.shape.join('x')}, its dataset ${shape.join('x')}`)
  if (!(volume.voxels instanceof Uint8Array)) throw corrupt(`holds ${volume.storedType} voxels, expected uint8`)
  if (expected !== undefined && sha256(volume.voxels) !== expected)
    throw corrupt('has changed since the dataset was made')
  return { voxels: volume.voxels, affine: volume.affine }
}
