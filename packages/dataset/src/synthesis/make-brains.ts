import { join } from 'node:path'
import { createRandom, writeFileAtomic } from '@meshfl/core'
import { encodeNifti, type Shape } from '@meshfl/volume'
import { makeBrain } from './make-brain.js'

export interface BrainsOptions {
  /** The folder to write `images/` and `labels/` in. */
  out: string
  count: number
  seed: number
  /** Voxels along x, y, z. */
  shape: Shape
  voxelSizeMm: number
  /** After each brain: how many are written. */
  onProgress?: (done: number, count: number) => void
  signal?: AbortSignal
}

/**
 * Writes `images/sub-01.nii.gz` and `labels/sub-01.nii.gz` and so on: two parallel folders, as `meshfl split` takes them. Brain n
 * depends on the seed and n alone, so more brains of a seed begin with the same ones.
 * @throws MeshflError `SYNTHESIS_GRID`, `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export async function makeBrains(options: BrainsOptions): Promise<void> {
  const { out, count, seed, shape, voxelSizeMm, onProgress, signal } = options
  const digits = Math.max(2, String(count).length)
  for (let n = 1; n <= count; n++) {
    signal?.throwIfAborted()
    const { image, label, affine } = makeBrain({ seed: createRandom(seed, 'brains', n).uint32(), shape, voxelSizeMm })
    const name = `sub-${String(n).padStart(digits, '0')}.nii.gz`
    const encode = (voxels: Uint8Array): Promise<Uint8Array> => encodeNifti({ shape, affine, voxels }, { gzip: true })
    const [imageFile, labelFile] = await Promise.all([encode(image), encode(label)])
    await writeFileAtomic(join(out, 'images', name), imageFile)
    await writeFileAtomic(join(out, 'labels', name), labelFile)
    onProgress?.(n, count)
  }
}
