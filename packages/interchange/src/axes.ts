import { elementCount, MeshflError, type MeshNetSpec, type ModelState } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'

/** Which index of a volume the first axis of a kernel runs along: z, as in the bytes of a NIfTI file, or x, as in nibabel's arrays. */
export type Axes = 'xyz' | 'zyx'

/**
 * The order that a model file of ours says; one that was not exported says none, and is for our own volumes.
 * @throws MeshflError `MODEL_SPEC_UNKNOWN`
 */
export function axesOfModelFile(metadata: Readonly<Record<string, string>>, source: string): Axes {
  const axes = metadata['meshfl.axes'] ?? 'zyx'
  if (axes === 'xyz' || axes === 'zyx') return axes
  throw new MeshflError('MODEL_SPEC_UNKNOWN', `${source} is for axes in an order that is not known here`, {
    hint: 'use the version of meshfl that wrote it',
    data: { axes: axes.slice(0, 40) },
  })
}

/**
 * Turns 3x3x3 kernels between the two orders of a volume's axes: weight (Co, Ci, a, b, c) -> (Co, Ci, c, b, a). Twice is as before.
 * Our tensor is (z, y, x); a network that was trained on nibabel's arrays [i, j, k] has seen (x, y, z).
 */
export function turnKernels(weight: Float32Array): Float32Array {
  const turned = new Float32Array(weight.length)
  for (let kernel = 0; kernel < weight.length; kernel += 27) {
    for (let tap = 0; tap < 27; tap++) {
      const [a, b, c] = [Math.floor(tap / 9), Math.floor(tap / 3) % 3, tap % 3] as const
      turned[kernel + c * 9 + b * 3 + a] = weight[kernel + tap]!
    }
  }
  return turned
}

/** A model of ours with its kernels turned to the other order of axes. */
export function turnModel(spec: MeshNetSpec, state: ModelState): ModelState {
  const parameters = state.parameters.slice()
  for (const { shape, offset } of modelLayout(spec).parameters) {
    if (shape.length !== 5 || shape[4] !== 3) continue
    parameters.set(turnKernels(parameters.subarray(offset, offset + elementCount(shape))), offset)
  }
  return { parameters, statistics: state.statistics.slice() }
}
