import { basename } from 'node:path'
import { encodeNifti, invertAffine, orientation, readVolume, type Volume, voxelSize } from '@meshfl/volume'
import type { ImageInfo, LabelInfo } from './page-data.js'
import { rankLabels } from './ranked-labels.js'

/** A volume as the page takes it: NIfTI-1, whatever the file was. */
export interface PageVolume<Info> {
  info: Info
  nifti: Uint8Array
}

/** The scan that is shown and the one that is loaded next; a label map has a byte or two a voxel, and several are shown. */
const MOST_SCANS = 2
const MOST_LABELS = 8

/** Reads scans and label maps for the page, and keeps the last few: it asks for each twice. */
export interface SceneVolumes {
  image(path: string): Promise<PageVolume<ImageInfo>>
  label(path: string): Promise<PageVolume<LabelInfo>>
}

/** @param volume which one of 4D files, from 0 */
export function createSceneVolumes(volume?: number): SceneVolumes {
  const pick = volume === undefined ? {} : { volume }
  return {
    image: kept(MOST_SCANS, async (path) => {
      // A scan with NaN outside the head can be looked at.
      const read = await readVolume(path, { kind: 'image', nanToZero: true, ...pick })
      return { info: infoOf(read), nifti: await encodeNifti({ ...read, voxels: narrowed(read) }) }
    }),
    label: kept(MOST_LABELS, async (path) => {
      const read = await readVolume(path, { kind: 'label', ...pick })
      const { voxels, values } = rankLabels(read, basename(path))
      return { info: { ...infoOf(read), values }, nifti: await encodeNifti({ ...read, voxels }) }
    }),
  }
}

function kept<T>(most: number, read: (path: string) => Promise<T>): (path: string) => Promise<T> {
  const all = new Map<string, Promise<T>>()
  return (path) => {
    const found = all.get(path)
    if (found !== undefined) return found
    const reading = read(path)
    all.set(path, reading)
    // A file that could not be read may be mended while the page is open.
    reading.catch(() => all.delete(path))
    if (all.size > most) all.delete(all.keys().next().value!)
    return reading
  }
}

function infoOf({ shape, affine, storedType }: Volume): ImageInfo {
  return {
    shape: [...shape],
    voxelSizeMm: voxelSize(affine),
    orientation: orientation(affine),
    storedType,
    mmToVoxel: invertAffine(affine).slice(0, 12),
  }
}

/** Graphics hardware has no use for doubles, and they would be twice the bytes. */
function narrowed({ voxels }: Volume): Volume['voxels'] {
  return voxels instanceof Float64Array ? Float32Array.from(voxels) : voxels
}
