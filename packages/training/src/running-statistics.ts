import { elementCount, type ModelLayout } from '@meshfl/core'

/** The weight of the newest batch in BatchNorm's running statistics: PyTorch's default. */
export const BATCH_NORM_MOMENTUM = 0.1

/**
 * Moves the running mean and variance towards those of a batch, in place and once a step, as torch.nn.BatchNorm3d does: the batch's
 * biased variance enters as the unbiased one.
 * @param batchStatistics mean and biased variance, in the layout of the statistics
 * @param samples voxels that each mean was taken over
 */
export function updateRunningStatistics(
  layout: ModelLayout,
  statistics: Float32Array,
  batchStatistics: Float32Array,
  samples: number,
): void {
  const unbias = samples > 1 ? samples / (samples - 1) : 1
  for (const { name, shape, offset } of layout.statistics) {
    const factor = name.endsWith('.running_var') ? unbias : 1
    const end = offset + elementCount(shape)
    for (let i = offset; i < end; i++) {
      statistics[i] = (1 - BATCH_NORM_MOMENTUM) * statistics[i]! + BATCH_NORM_MOMENTUM * batchStatistics[i]! * factor
    }
  }
}
