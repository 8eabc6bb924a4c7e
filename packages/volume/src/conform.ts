import { MeshflError } from '@meshfl/core'
import { applyAffine, sameGrid } from './affine.js'
import { fullRangeScale, type IntensityScale, robustScale } from './intensity.js'
import { resampleRows } from './resample.js'
import { isFiner, refineLabel, resampleLabel } from './resample-label.js'
import { type Geometry, type Shape, type Volume, type VoxelArray, voxelCount } from './volume.js'

export interface ConformOptions {
  /**
   * `freesurfer` is FastSurfer's conform: it rounds to nearest, and what is 0 stays 0. `niivue` is the browser's: it truncates,
   * and 0 is an intensity like any other. `none` keeps grid and orientation, and spreads intensities over 0..255, but for those of
   * a uint8 volume without scaling, which stay what they are.
   */
  mode: 'freesurfer' | 'niivue' | 'none'
  /** Voxels of the conformed grid. */
  shape: Shape
  /** Edge of its voxels, millimetres. */
  voxelSizeMm: number
}

/** Goes up whenever the same input would conform to other voxels; recorded with every conformed case. */
export const CONFORM_VERSION = 2

/** What FreeSurfer and brainchop work on. */
export const DEFAULT_CONFORM: ConformOptions = { mode: 'freesurfer', shape: [256, 256, 256], voxelSizeMm: 1 }

/**
 * The grid that a volume is conformed to: axes LIA, isotropic voxels, the centre of the field of view (index shape / 2) where it
 * was, as FreeSurfer and FastSurfer place it. The source's own grid in mode `none`.
 * @throws MeshflError `USAGE_CONFORM`
 */
export function conformGeometry(source: Geometry, options: ConformOptions): Geometry {
  if (options.mode === 'none') return { shape: source.shape, affine: source.affine }
  const { shape, voxelSizeMm: size } = options
  if (!(size > 0 && Number.isFinite(size)) || !shape.every((n) => Number.isSafeInteger(n) && n > 0)) {
    throw new MeshflError('USAGE_CONFORM', `cannot conform to ${shape.join(' x ')} voxels of ${size} mm`, {
      kind: 'usage',
      hint: 'give whole numbers of voxels and a voxel size above 0, for instance --shape 128 --voxel-size 2',
      data: { shape: [...shape], voxelSizeMm: size },
    })
  }
  const [nx, ny, nz] = shape
  const [x, y, z] = applyAffine(source.affine, [source.shape[0] / 2, source.shape[1] / 2, source.shape[2] / 2])
  const affine = [
    -size,
    0,
    0,
    x + (size * nx) / 2,
    0,
    0,
    size,
    y - (size * nz) / 2,
    0,
    -size,
    0,
    z + (size * ny) / 2,
    0,
    0,
    0,
    1,
  ]
  return { shape, affine }
}

/**
 * Conforms an image: trilinear onto the conformed grid, then 0..255. Written after FastSurfer's algorithm
 * (https://github.com/Deep-MI/FastSurfer/blob/dev/FastSurferCNN/data_loader/conform.py): the scale comes from the source's
 * histogram. An image that is uint8 without scaling keeps its intensities. Where nothing changes the voxels are the image's own,
 * not a copy.
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`, `USAGE_CONFORM`
 */
export function conformImage(volume: Volume, options: ConformOptions): Volume<Uint8Array> {
  const target = conformGeometry(volume, options)
  const plain = volume.storedType === 'uint8' && volume.slope === 1 && volume.intercept === 0
  const { voxels } = volume
  if (plain && voxels instanceof Uint8Array && sameGrid(volume, target, 1e-6)) return conformed(voxels, target)
  const result = new Uint8Array(voxelCount(target.shape))
  // rounds half to even and stops at 0 and 255, as FastSurfer's rint and clip do
  const rounded = new Uint8ClampedArray(result.buffer)
  if (options.mode === 'none') {
    const { low, scale } = fullRangeScale(voxels)
    for (let i = 0; i < rounded.length; i++) rounded[i] = scale * ((voxels[i] as number) - low)
    return conformed(result, target)
  }
  const scale = plain ? undefined : robustScale(voxels)
  const [nx, ny] = target.shape
  resampleRows(volume, target, (row, y, z) => {
    if (scale !== undefined) rescaleRow(row, scale, options.mode === 'freesurfer')
    if (options.mode === 'niivue') truncateRow(row)
    rounded.set(row, (z * ny + y) * nx)
  })
  return conformed(result, target)
}

/**
 * A label volume on the conformed grid, each voxel from the nearest one; of two at one distance from that which lies further along the
 * axes of the conformed grid, however the file is stored. The label itself where it is on that grid already.
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function conformLabel<T extends VoxelArray>(label: Volume<T>, target: Geometry): Volume<T> {
  return sameGrid(label, target, 1e-6) ? label : resampleLabel(label, target, 'target')
}

/**
 * A prediction on the conformed grid, back on the grid of the scan it was made from: the scan's shape and affine, no label that
 * the prediction does not have. It undoes `conformLabel`; where the scan's voxels are much smaller than those of the conformed grid, a voxel
 * gets the label that weighs most around it.
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`
 */
export function restoreLabel(label: Volume<Uint8Array>, native: Geometry): Volume<Uint8Array> {
  const { shape, affine } = native
  if (sameGrid(label, native, 1e-6)) return { ...label, shape, affine }
  const target = { shape, affine }
  return isFiner(target, label) ? refineLabel(label, target, 'source') : resampleLabel(label, target, 'source')
}

function conformed(voxels: Uint8Array, { shape, affine }: Geometry): Volume<Uint8Array> {
  return { shape, affine, voxels, storedType: 'uint8', slope: 1, intercept: 0 }
}

function rescaleRow(row: Float64Array, { low, scale }: IntensityScale, keepZero: boolean): void {
  for (let x = 0; x < row.length; x++) {
    const value = row[x] as number
    row[x] = keepZero && value === 0 ? 0 : scale * (value - low)
  }
}

function truncateRow(row: Float64Array): void {
  for (let x = 0; x < row.length; x++) row[x] = Math.trunc(row[x] as number)
}
