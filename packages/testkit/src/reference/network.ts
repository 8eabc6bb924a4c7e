import { elementCount, MeshflError, type MeshNetSpec } from '@meshfl/core'
import { dropoutFactors, type Grid, type LossSpec, modelLayout, voxelCount } from '@meshfl/engine'
import { activate, activateBackward } from './activation.js'
import { type ConvolutionShape, convolve, convolveBackwardInput, convolveBackwardWeights } from './convolution.js'
import { crossEntropy } from './cross-entropy.js'
import {
  affine,
  batchNormalize,
  batchNormalizeBackward,
  instanceNormalize,
  type Normalized,
  normalizeWith,
} from './normalization.js'

/** A model in float64, laid out as `modelLayout(spec)`. */
export interface Model64 {
  parameters: Float64Array
  statistics: Float64Array
}

/** Intensities (N,D,H,W), already divided by 255. */
export interface Volumes64 {
  images: Float64Array
  count: number
  grid: Grid
}

export interface Step64 {
  loss: number
  /** (N,C,D,H,W) */
  logits: Float64Array
  gradients: Float64Array
  batchStatistics: Float64Array
}

/** What the backward pass needs of one block. */
interface BlockTape {
  shape: ConvolutionShape
  input: Float64Array
  normalized: Normalized | null
  /** Before the activation. */
  linear: Float64Array
  /** (N,C): what dropout multiplies each plane by; null without dropout. */
  scale: Float32Array | null
}

/** The network as a plain computation in float64: slow, and simple enough to be believed. */
export class ReferenceNetwork {
  private readonly layout

  constructor(private readonly spec: MeshNetSpec) {
    this.layout = modelLayout(spec)
  }

  /** Logits (N,C,D,H,W) in evaluation mode. */
  forward(model: Model64, volumes: Volumes64): Float64Array {
    return this.run(model, volumes, null).logits
  }

  /** The loss in training mode, as `step` computes it: what finite differences need. */
  trainingLoss(model: Model64, volumes: Volumes64, labels: Uint8Array, lossSpec: LossSpec, seed: number): number {
    const { logits } = this.run(model, volumes, seed)
    return crossEntropy(logits, labels, this.spec.classes, voxelCount(volumes.grid), lossSpec).loss
  }

  /**
   * Loss and gradients in training mode; dropout draws from the seed.
   * @throws MeshflError `MODEL_UNSUPPORTED` for instance normalisation
   */
  step(model: Model64, volumes: Volumes64, labels: Uint8Array, lossSpec: LossSpec, seed: number): Step64 {
    const { spec } = this
    if (spec.normalization === 'instance') {
      throw new MeshflError('MODEL_UNSUPPORTED', 'a model with instance normalisation cannot be trained', {
        hint: "train with normalization 'batch' or 'none'",
      })
    }
    const { logits, tape, headShape, headInput } = this.run(model, volumes, seed)
    const voxels = voxelCount(volumes.grid)
    const { loss, gradient } = crossEntropy(logits, labels, spec.classes, voxels, lossSpec)
    const gradients = new Float64Array(this.layout.parameterCount)
    const batchStatistics = new Float64Array(this.layout.statisticCount)
    const put = (name: string, values: Float64Array): void => gradients.set(values, this.offset(name))
    const head = `model.${spec.dilations.length}`
    const headGradients = convolveBackwardWeights(headShape, headInput, gradient)
    put(`${head}.weight`, headGradients.weights)
    put(`${head}.bias`, headGradients.bias)
    let dy = convolveBackwardInput(headShape, gradient, this.parameter(model, `${head}.weight`))
    for (let block = tape.length - 1; block >= 0; block--) {
      const { shape, input, normalized, linear, scale } = tape[block]!
      const planes = { volumes: shape.volumes, channels: shape.outputs, voxels }
      if (scale) dy = dy.map((value, i) => value * scale[Math.floor(i / voxels)]!)
      dy = activateBackward(spec.activation, linear, dy)
      if (normalized) {
        const weight = this.parameter(model, `model.${block}.1.weight`)
        const back = batchNormalizeBackward(planes, normalized, weight, dy)
        put(`model.${block}.1.weight`, back.weight)
        put(`model.${block}.1.bias`, back.bias)
        batchStatistics.set(normalized.mean, this.offset(`model.${block}.1.running_mean`))
        batchStatistics.set(normalized.variance, this.offset(`model.${block}.1.running_var`))
        dy = back.input
      }
      const back = convolveBackwardWeights(shape, input, dy)
      put(`model.${block}.0.weight`, back.weights)
      if (spec.convolutionBias) put(`model.${block}.0.bias`, back.bias)
      if (block > 0) dy = convolveBackwardInput(shape, dy, this.parameter(model, `model.${block}.0.weight`))
    }
    return { loss, logits, gradients, batchStatistics }
  }

  /** @param seed of dropout in training mode; null for evaluation mode */
  private run(model: Model64, { images, count, grid }: Volumes64, seed: number | null) {
    const { spec } = this
    const voxels = voxelCount(grid)
    const tape: BlockTape[] = []
    const factors = seed === null || spec.dropout === 0 ? null : dropoutFactors(spec, count, seed)
    let x = images
    for (const [block, dilation] of spec.dilations.entries()) {
      const inputs = block === 0 ? 1 : spec.channels
      const shape: ConvolutionShape = { volumes: count, inputs, outputs: spec.channels, grid, kernel: 3, dilation }
      const bias = spec.convolutionBias ? this.parameter(model, `model.${block}.0.bias`) : null
      const input = x
      x = convolve(shape, input, this.parameter(model, `model.${block}.0.weight`), bias)
      const planes = { volumes: count, channels: spec.channels, voxels }
      let normalized: Normalized | null = null
      if (spec.normalization === 'instance') x = instanceNormalize(planes, x)
      if (spec.normalization === 'batch') {
        const name = `model.${block}.1`
        const mean = this.statistic(model, `${name}.running_mean`)
        const variance = this.statistic(model, `${name}.running_var`)
        normalized = seed === null ? normalizeWith(planes, x, mean, variance) : batchNormalize(planes, x)
        x = affine(
          planes,
          normalized.values,
          this.parameter(model, `${name}.weight`),
          this.parameter(model, `${name}.bias`),
        )
      }
      const linear = x
      x = activate(spec.activation, linear)
      const scale = factors && blockFactors(spec, factors, block, count)
      if (scale) x = x.map((value, i) => value * scale[Math.floor(i / voxels)]!)
      tape.push({ shape, input, normalized, linear, scale })
    }
    const headShape: ConvolutionShape = {
      volumes: count,
      inputs: spec.channels,
      outputs: spec.classes,
      grid,
      kernel: 1,
      dilation: 1,
    }
    const head = `model.${spec.dilations.length}`
    const logits = convolve(
      headShape,
      x,
      this.parameter(model, `${head}.weight`),
      this.parameter(model, `${head}.bias`),
    )
    return { logits, tape, headShape, headInput: x }
  }

  private entry(name: string) {
    const { parameters, statistics } = this.layout
    const entry = [...parameters, ...statistics].find((candidate) => candidate.name === name)
    if (!entry) throw new RangeError(`no tensor ${name}`)
    return entry
  }

  private offset(name: string): number {
    return this.entry(name).offset
  }

  private parameter(model: Model64, name: string): Float64Array {
    const { offset, shape } = this.entry(name)
    return model.parameters.subarray(offset, offset + elementCount(shape))
  }

  private statistic(model: Model64, name: string): Float64Array {
    const { offset, shape } = this.entry(name)
    return model.statistics.subarray(offset, offset + elementCount(shape))
  }
}

/** Of (N, blocks, C), the factors (N, C) of one block. */
function blockFactors(spec: MeshNetSpec, factors: Float32Array, block: number, count: number): Float32Array {
  const { channels, dilations } = spec
  return Float32Array.from({ length: count * channels }, (_, i) => {
    const volume = Math.floor(i / channels)
    return factors[(volume * dilations.length + block) * channels + (i % channels)]!
  })
}
