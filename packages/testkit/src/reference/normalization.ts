/** What torch.nn.BatchNorm3d and InstanceNorm3d add to a variance. */
const EPSILON = 1e-5

/** Planes (N,C) of a tensor, each of `voxels` numbers. */
export interface Planes {
  volumes: number
  channels: number
  voxels: number
}

export interface Normalized {
  /** (x - mean) / sqrt(variance + eps), before the affine part. */
  values: Float64Array
  /** (C): mean and biased variance that were used. */
  mean: Float64Array
  variance: Float64Array
}

/** BatchNorm with the batch's own mean and biased variance of every channel, over all volumes. */
export function batchNormalize(planes: Planes, x: Float64Array): Normalized {
  const { volumes, channels, voxels } = planes
  const mean = new Float64Array(channels)
  const variance = new Float64Array(channels)
  eachVoxel(planes, (c, i) => {
    mean[c]! += x[i]!
  })
  for (let c = 0; c < channels; c++) mean[c]! /= volumes * voxels
  eachVoxel(planes, (c, i) => {
    variance[c]! += (x[i]! - mean[c]!) ** 2
  })
  for (let c = 0; c < channels; c++) variance[c]! /= volumes * voxels
  return normalizeWith(planes, x, mean, variance)
}

/** Normalisation with a given mean and variance of every channel: BatchNorm in evaluation mode. */
export function normalizeWith(planes: Planes, x: Float64Array, mean: Float64Array, variance: Float64Array): Normalized {
  const values = new Float64Array(x.length)
  eachVoxel(planes, (c, i) => {
    values[i] = (x[i]! - mean[c]!) / Math.sqrt(variance[c]! + EPSILON)
  })
  return { values, mean, variance }
}

/** InstanceNorm without affine part: every channel of every volume by its own mean and biased variance. */
export function instanceNormalize({ volumes, channels, voxels }: Planes, x: Float64Array): Float64Array {
  const each = { volumes: 1, channels: volumes * channels, voxels }
  return batchNormalize(each, x).values
}

/** y = values * weight + bias, by channel. */
export function affine(planes: Planes, values: Float64Array, weight: Float64Array, bias: Float64Array): Float64Array {
  const y = new Float64Array(values.length)
  eachVoxel(planes, (c, i) => {
    y[i] = values[i]! * weight[c]! + bias[c]!
  })
  return y
}

/** Backward of `affine(batchNormalize(x))`: the gradients by x, weight and bias. */
export function batchNormalizeBackward(
  planes: Planes,
  { values, variance }: Normalized,
  weight: Float64Array,
  dy: Float64Array,
): { input: Float64Array; weight: Float64Array; bias: Float64Array } {
  const { volumes, channels, voxels } = planes
  const dWeight = new Float64Array(channels)
  const dBias = new Float64Array(channels)
  eachVoxel(planes, (c, i) => {
    dWeight[c]! += dy[i]! * values[i]!
    dBias[c]! += dy[i]!
  })
  const input = new Float64Array(dy.length)
  const count = volumes * voxels
  eachVoxel(planes, (c, i) => {
    const centred = dy[i]! - dBias[c]! / count - (values[i]! * dWeight[c]!) / count
    input[i] = (weight[c]! / Math.sqrt(variance[c]! + EPSILON)) * centred
  })
  return { input, weight: dWeight, bias: dBias }
}

function eachVoxel({ volumes, channels, voxels }: Planes, visit: (channel: number, index: number) => void): void {
  let index = 0
  for (let n = 0; n < volumes; n++) {
    for (let c = 0; c < channels; c++) {
      for (let v = 0; v < voxels; v++) visit(c, index++)
    }
  }
}
