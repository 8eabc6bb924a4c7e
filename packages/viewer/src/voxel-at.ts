/**
 * The voxel of a file at a place, from 0 along its own axes.
 * @param mmToVoxel the first three rows of the matrix from RAS millimetres to voxels
 */
export function voxelAt(mmToVoxel: readonly number[], [x, y, z]: readonly [number, number, number]): number[] {
  return [0, 4, 8].map((row) => {
    const [a = 0, b = 0, c = 0, d = 0] = mmToVoxel.slice(row, row + 4)
    return Math.round(a * x + b * y + c * z + d) + 0 // no -0
  })
}
