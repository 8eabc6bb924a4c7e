import { createRandom, type MeshNetSpec, MeshNetSpecSchema, type ModelState } from '@meshfl/core'
import { type Grid, initializeModel, type LossSpec } from '@meshfl/engine'

export interface Problem {
  spec: MeshNetSpec
  grid: Grid
  model: ModelState
  /** Made when they are first asked for: on a grid that nothing takes they never are. */
  readonly images: Uint8Array
  readonly labels: Uint8Array
  loss: LossSpec
}

/** The same numbers for every engine and peer: a MeshNet of so many channels, an image of noise, labels in bands. */
export function createProblem(grid: Grid, channels: number): Problem {
  const spec = MeshNetSpecSchema.parse({ channels })
  const voxels = (at: (i: number) => number): Uint8Array => {
    const values = new Uint8Array(grid.depth * grid.height * grid.width)
    for (let i = 0; i < values.length; i++) values[i] = at(i)
    return values
  }
  let images: Uint8Array | undefined
  let labels: Uint8Array | undefined
  return {
    spec,
    grid,
    model: initializeModel(spec, 1),
    get images() {
      images ??= voxels((i) => (i * 37 + (i >> 7)) % 256)
      return images
    },
    get labels() {
      labels ??= voxels((i) => (i >> 3) % spec.classes)
      return labels
    },
    loss: { classWeights: [0.2, 1, 0.8], labelSmoothing: 0.01 },
  }
}

export const cube = (edge: number): Grid => ({ depth: edge, height: edge, width: edge })

/** Small, and larger than the largest dilation along two axes. */
export const CHECKED_GRID: Grid = { depth: 18, height: 6, width: 20 }

/** What a step gave, in few numbers: its loss, the size of its gradient, and the gradient along three directions of a fixed seed. */
export interface Answer {
  loss: number
  gradientNorm: number
  projections: number[]
}

export function answerOf(loss: number, gradients: Float32Array): Answer {
  const along = (direction: number): number => {
    const random = createRandom(direction, 'bench answer')
    return gradients.reduce((sum, value) => sum + value * random.normal(), 0)
  }
  const gradientNorm = Math.sqrt(gradients.reduce((sum, value) => sum + value * value, 0))
  return { loss, gradientNorm, projections: [1, 2, 3].map(along) }
}
