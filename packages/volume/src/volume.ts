/** Voxels along x, y, z. */
export type Shape = readonly [number, number, number]

/** 16 numbers, row-major 4x4: voxel index (x, y, z, 1) to RAS+ millimetres (right, anterior, superior). */
export type Affine = readonly number[]

export type VoxelArray =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array

/** Where the voxels of a volume are. */
export interface Geometry {
  readonly shape: Shape
  readonly affine: Affine
}

/** One 3D image in memory. */
export interface Volume<T extends VoxelArray = VoxelArray> extends Geometry {
  /** shape[0] * shape[1] * shape[2] values, x fastest. */
  readonly voxels: T
  /** The type in the file, e.g. `uint8`, `int64`, `float32`. */
  readonly storedType: string
  /** The file's scaling, value = slope * stored + intercept; already applied to `voxels`. 1 and 0 where the file has none. */
  readonly slope: number
  readonly intercept: number
  /** How many voxels were NaN or infinite and were read as 0, where that was asked for. */
  readonly zeroed?: number
  /** That the file does not say how its axes lie in the head: `affine` is what readers take then, and may be wrong. */
  readonly isUnplaced?: true
}

/** The number of voxels of a grid. */
export function voxelCount(shape: Shape): number {
  return shape[0] * shape[1] * shape[2]
}
