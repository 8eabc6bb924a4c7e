import { type Grid, voxelCount } from '@meshfl/engine'

/** A 3D convolution with stride 1 and padding that keeps the grid. */
export interface ConvolutionShape {
  volumes: number
  inputs: number
  outputs: number
  grid: Grid
  /** 3 (padding = dilation) or 1. */
  kernel: 1 | 3
  dilation: number
}

/** The rows in which one tap of the kernel meets the grid: output voxel `out + i` reads input voxel `in + i`, i < length. */
interface TapRows {
  out: number[]
  in: number[]
  length: number
}

/** y (N,Co,D,H,W) = w (Co,Ci,k,k,k) * x (N,Ci,D,H,W) + bias (Co). */
export function convolve(
  shape: ConvolutionShape,
  x: Float64Array,
  weights: Float64Array,
  bias: Float64Array | null,
): Float64Array {
  const { volumes, outputs, grid } = shape
  const voxels = voxelCount(grid)
  const y = new Float64Array(volumes * outputs * voxels)
  if (bias)
    for (let plane = 0; plane < volumes * outputs; plane++)
      y.fill(bias[plane % outputs]!, plane * voxels, (plane + 1) * voxels)
  eachTap(shape, (weight, outPlane, inPlane, rows) => {
    const w = weights[weight]!
    eachRow(rows, (out, input, length) => {
      for (let i = 0; i < length; i++) y[outPlane + out + i]! += w * x[inPlane + input + i]!
    })
  })
  return y
}

/** The gradient by x: dx (N,Ci,D,H,W) = w transposed * dy (N,Co,D,H,W). */
export function convolveBackwardInput(shape: ConvolutionShape, dy: Float64Array, weights: Float64Array): Float64Array {
  const { volumes, inputs, grid } = shape
  const dx = new Float64Array(volumes * inputs * voxelCount(grid))
  eachTap(shape, (weight, outPlane, inPlane, rows) => {
    const w = weights[weight]!
    eachRow(rows, (out, input, length) => {
      for (let i = 0; i < length; i++) dx[inPlane + input + i]! += w * dy[outPlane + out + i]!
    })
  })
  return dx
}

/** The gradients by the weights (Co,Ci,k,k,k) and the bias (Co), summed over the volumes. */
export function convolveBackwardWeights(
  shape: ConvolutionShape,
  x: Float64Array,
  dy: Float64Array,
): { weights: Float64Array; bias: Float64Array } {
  const { volumes, inputs, outputs, kernel, grid } = shape
  const voxels = voxelCount(grid)
  const weights = new Float64Array(outputs * inputs * kernel ** 3)
  const bias = new Float64Array(outputs)
  eachTap(shape, (weight, outPlane, inPlane, rows) => {
    let sum = 0
    eachRow(rows, (out, input, length) => {
      for (let i = 0; i < length; i++) sum += dy[outPlane + out + i]! * x[inPlane + input + i]!
    })
    weights[weight]! += sum
  })
  for (let plane = 0; plane < volumes * outputs; plane++) {
    let sum = 0
    for (let i = plane * voxels; i < (plane + 1) * voxels; i++) sum += dy[i]!
    bias[plane % outputs]! += sum
  }
  return { weights, bias }
}

/** Visits every (volume, output, input, tap): the index of its weight, the offsets of its two planes, and its rows. */
function eachTap(
  { volumes, inputs, outputs, kernel, dilation, grid }: ConvolutionShape,
  visit: (weight: number, outPlane: number, inPlane: number, rows: TapRows) => void,
): void {
  const taps = kernel ** 3
  const voxels = voxelCount(grid)
  const rows = Array.from({ length: taps }, (_, tap) => rowsOf(grid, kernel, dilation, tap))
  for (let n = 0; n < volumes; n++) {
    for (let output = 0; output < outputs; output++) {
      for (let input = 0; input < inputs; input++) {
        for (let tap = 0; tap < taps; tap++) {
          const weight = (output * inputs + input) * taps + tap
          visit(weight, (n * outputs + output) * voxels, (n * inputs + input) * voxels, rows[tap]!)
        }
      }
    }
  }
}

function eachRow(rows: TapRows, visit: (out: number, input: number, length: number) => void): void {
  for (let row = 0; row < rows.out.length; row++) visit(rows.out[row]!, rows.in[row]!, rows.length)
}

function rowsOf(grid: Grid, kernel: number, dilation: number, tap: number): TapRows {
  const { depth, height, width } = grid
  const shift = (index: number): number => (kernel === 1 ? 0 : (index - 1) * dilation)
  const dz = shift(Math.floor(tap / (kernel * kernel)))
  const dy = shift(Math.floor(tap / kernel) % kernel)
  const dx = shift(tap % kernel)
  const rows: TapRows = { out: [], in: [], length: Math.max(0, width - Math.abs(dx)) }
  if (rows.length === 0) return rows
  const x = Math.max(0, -dx)
  for (let z = Math.max(0, -dz); z < Math.min(depth, depth - dz); z++) {
    for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
      rows.out.push((z * height + y) * width + x)
      rows.in.push(((z + dz) * height + y + dy) * width + x + dx)
    }
  }
  return rows
}
