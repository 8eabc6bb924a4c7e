import { basename } from 'node:path'
import {
  encodeNifti,
  type Geometry,
  invertAffine,
  orientation,
  readGeometry,
  readVolume,
  type Volume,
  voxelSize,
} from '@meshfl/volume'
import { createTurns, keptReadings, type Reader } from './kept-readings.js'
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
  image: Reader<PageVolume<ImageInfo>>
  label: Reader<PageVolume<LabelInfo>>
}

/** @param volume which one of 4D files, from 0 */
export function createSceneVolumes(volume?: number): SceneVolumes {
  const inTurn = createTurns()
  const optionsFor = async (path: string) => ({
    // What has NaN outside the head can be looked at; the page says how many voxels.
    nanToZero: true,
    // A 4D scan often has a 3D label map: only where there is a choice is it made.
    ...(volume !== undefined && (await readGeometry(path)).volumes > 1 ? { volume } : {}),
  })
  return {
    image: keptReadings(MOST_SCANS, inTurn, async (path, stamp) => {
      const read = await readVolume(path, { kind: 'image', ...(await optionsFor(path)) })
      return { info: infoOf(read, stamp), nifti: await encodeNifti({ ...gridOf(read), voxels: narrowed(read) }) }
    }),
    label: keptReadings(MOST_LABELS, inTurn, async (path, stamp) => {
      const read = await readVolume(path, { kind: 'label', ...(await optionsFor(path)) })
      const { voxels, values } = rankLabels(read, basename(path))
      return { info: { ...infoOf(read, stamp), values }, nifti: await encodeNifti({ ...gridOf(read), voxels }) }
    }),
  }
}

function infoOf({ shape, affine, storedType, zeroed = 0 }: Volume, version: string): ImageInfo {
  return {
    version,
    shape: [...shape],
    voxelSizeMm: voxelSize(affine),
    orientation: orientation(affine),
    storedType,
    zeroed,
    mmToVoxel: invertAffine(affine).slice(0, 12),
  }
}

/** Placed also where the file is not: the page's own figures are of this affine. */
const gridOf = ({ shape, affine }: Volume): Geometry => ({ shape, affine })

/** Graphics hardware has no use for doubles, and they would be twice the bytes. */
function narrowed({ voxels }: Volume): Volume['voxels'] {
  return voxels instanceof Float64Array ? Float32Array.from(voxels) : voxels
}
