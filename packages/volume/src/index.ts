export {
  applyAffine,
  determinant,
  IDENTITY,
  invertAffine,
  multiplyAffine,
  sameGrid,
  unplacedAffine,
  voxelSize,
  voxelVolumeMl,
} from './affine.js'
export {
  CONFORM_VERSION,
  type ConformOptions,
  conformGeometry,
  conformImage,
  conformLabel,
  DEFAULT_CONFORM,
  restoreLabel,
} from './conform.js'
export { countOutside } from './count-outside.js'
export { type CutFace, cutFaces } from './cut-faces.js'
export { type EncodeOptions, encodeNifti } from './encode-nifti.js'
export { intensityRange } from './intensity.js'
export { orientation, reorient } from './orientation.js'
export { readWholeFile } from './read-file.js'
export { parseVolume, pickVolume, type ReadOptions, readGeometry, readVolume } from './read-volume.js'
export { resample } from './resample.js'
export { type Affine, type Geometry, type Shape, type Volume, type VoxelArray, voxelCount } from './volume.js'
