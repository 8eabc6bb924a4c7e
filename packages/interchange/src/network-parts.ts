/** The network of a file, tensor by tensor, before it is laid out flat. Arrays are in C order, in the file's own direction of axes. */
export interface NetworkParts {
  channels: number
  classes: number
  blocks: BlockParts[]
  /** A 1x1x1 convolution: weight (classes, channels, 1, 1, 1). */
  head: { weight: Float32Array; bias: Float32Array }
  /** Where the file tells of it; tensors alone tell of BatchNorm, not of instance normalisation or none, which have no tensors. */
  normalization?: 'batch' | 'instance' | 'none'
  /** Where the file tells of them: one for each block. */
  dilations?: number[]
  /** Where the file tells of it. */
  activation?: 'elu' | 'relu' | 'gelu'
}

/** A block: weight (Co, Ci, 3, 3, 3), the rest (Co). */
export interface BlockParts {
  weight: Float32Array
  bias?: Float32Array
  normalization?: { weight: Float32Array; bias: Float32Array; mean: Float32Array; variance: Float32Array }
}

/** What BatchNorm and instance normalisation add to a variance: PyTorch's default, and that of all our engines. */
export const EPSILON = 1e-5

/** The most that is read of a file, and of what is packed in it. A MeshNet of the largest spec has 28 MB. */
export const MOST_MODEL_BYTES = 1 << 28
