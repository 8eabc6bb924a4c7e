import { join } from 'node:path'
import { sha256, writeFileAtomic } from '@meshfl/core'
import {
  conformGeometry,
  encodeNifti,
  type Geometry,
  orientation,
  pickVolume,
  readGeometry,
  type Volume,
  voxelSize,
} from '@meshfl/volume'
import type { CaseNames } from './check-case.js'
import { conformCase } from './conform-case.js'
import { type FileIndex, findIntact, STAGING, volumeName } from './dataset-files.js'
import { checkGrids } from './grids.js'
import { appendRecord, type CaseRecord } from './journal.js'
import type { LabelMap } from './label-map.js'
import type { FoundCase } from './layouts/layout.js'
import type { PrepareOptions } from './prepare-options.js'
import { hashSources, refuseSpecialFiles } from './source-files.js'
import { thumbnail } from './thumbnail.js'

interface CaseWork {
  found: FoundCase
  id: string
  names: CaseNames
  labelMap: LabelMap
  options: PrepareOptions
  /** The dataset's folder. */
  folder: string
}

/**
 * Conforms a case into the staging folder and notes it in the journal; a case whose sources and conformed files are what the
 * journal says is taken as it is.
 * @param index where the folder's volumes are; a volume written here is added to it
 */
export async function prepareCase(
  { found, id, names, labelMap, options, folder }: CaseWork,
  known: CaseRecord | undefined,
  index: FileIndex,
): Promise<CaseRecord> {
  await refuseSpecialFiles(found)
  const sourceSha256 = await hashSources(found)
  if (known?.sourceSha256 === sourceSha256) {
    const image = await findIntact(folder, index, volumeName('images', id), known.imageFileSha256)
    const label = await findIntact(folder, index, volumeName('labels', id), known.labelFileSha256)
    if (image !== undefined && label !== undefined) return known
  }
  const { conform, volume, nanToZero } = options
  const conformed = await conformCase(found, names, {
    conform,
    labelMap,
    ...(volume === undefined ? {} : { volume }),
    ...(nanToZero === undefined ? {} : { nanToZero }),
  })
  const imageFileSha256 = await stage(folder, index, volumeName('images', id), conformed.image)
  const labelFileSha256 = await stage(folder, index, volumeName('labels', id), conformed.label)
  const record: CaseRecord = {
    id,
    sourceSha256,
    imageFileSha256,
    labelFileSha256,
    imageSha256: sha256(conformed.image.voxels),
    labelSha256: sha256(conformed.label.voxels),
    ...gridOf(conformed.image),
    source: sourceOf(conformed.source),
    voxels: conformed.voxels.slice(0, conformed.voxels.findLastIndex((count) => count > 0) + 1),
    thumbnail: Buffer.from(thumbnail(conformed.image.voxels, [...conformed.image.shape])).toString('base64'),
    findings: conformed.findings,
  }
  await appendRecord(folder, record)
  return record
}

/** What the headers alone say a case will be: no hashes, no voxel counts. */
export async function planCase(
  found: FoundCase,
  id: string,
  names: CaseNames,
  { conform, volume }: Pick<PrepareOptions, 'conform' | 'volume'>,
): Promise<CaseRecord> {
  await refuseSpecialFiles(found)
  const [image, label] = await Promise.all([readGeometry(found.image), readGeometry(found.label)])
  pickVolume(image, found.image, volume)
  // As where it is read: a 4D image often has a 3D label.
  if (label.volumes > 1) pickVolume(label, found.label, volume)
  checkGrids(image, label, names)
  return {
    id,
    sourceSha256: '',
    imageFileSha256: '',
    labelFileSha256: '',
    imageSha256: '',
    labelSha256: '',
    ...gridOf(conformGeometry(image, conform)),
    source: sourceOf(image),
    voxels: [],
    thumbnail: '',
    findings: [],
  }
}

async function stage(folder: string, index: FileIndex, name: string, volume: Volume<Uint8Array>): Promise<string> {
  const bytes = await encodeNifti(volume, { gzip: true })
  const path = `${STAGING}/${name}`
  await writeFileAtomic(join(folder, path), bytes)
  index.set(name, [path, ...(index.get(name) ?? []).filter((other) => other !== path)])
  return sha256(bytes)
}

function gridOf({ shape, affine }: Geometry): Pick<CaseRecord, 'shape' | 'voxelSizeMm' | 'orientation'> {
  return { shape: [...shape], voxelSizeMm: voxelSize(affine), orientation: orientation(affine) }
}

function sourceOf({ shape, affine }: Geometry): CaseRecord['source'] {
  // JSON has no negative zero: what is written must compare equal to what is read back.
  return { shape: [...shape], affine: affine.map((value) => value + 0) }
}
