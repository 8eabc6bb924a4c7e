import type { StoredType } from './datatype.js'
import type { Geometry } from './volume.js'

/** What a file says of the voxels that follow, whatever its format. */
export interface VolumeHeader extends Geometry {
  /** How many 3D volumes the file holds; 1 for a 3D file. */
  readonly volumes: number
  readonly type: StoredType
  readonly littleEndian: boolean
  /** Where the voxels begin, bytes from the start of the file (of the .img file where they have their own). */
  readonly dataOffset: number
  /** value = slope * stored + intercept. */
  readonly slope: number
  readonly intercept: number
  /** Whether the voxels are in a file of their own (.img beside .hdr). */
  readonly separate: boolean
  /** See `Volume`. */
  readonly isUnplaced?: true
}
