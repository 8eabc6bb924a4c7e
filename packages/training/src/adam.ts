import { bytesOf, decodeSafetensors, encodeSafetensors, MeshflError, type NamedTensor } from '@meshfl/core'

/** Adam's memory: one float32 of each moment a parameter, as PyTorch keeps them, and the steps taken. */
export interface AdamState {
  step: number
  /** Running mean of the gradient (`exp_avg`). */
  mean: Float32Array
  /** Running mean of its square (`exp_avg_sq`). */
  square: Float32Array
}

export interface AdamOptions {
  learningRate: number
  beta1: number
  beta2: number
  epsilon: number
}

const FORMAT = 'meshfl-adam/1'

export function createAdamState(parameterCount: number): AdamState {
  return { step: 0, mean: new Float32Array(parameterCount), square: new Float32Array(parameterCount) }
}

/**
 * One step of torch.optim.Adam (no weight decay, no amsgrad), in place: parameters and state. beta1 may change from step to
 * step; the bias correction takes the current one, as PyTorch does. Computed in float64, rounded to float32 once a step.
 * @throws RangeError when the lengths differ
 */
export function adamStep(
  parameters: Float32Array,
  gradients: Float32Array,
  state: AdamState,
  { learningRate, beta1, beta2, epsilon }: AdamOptions,
): void {
  const { mean, square } = state
  const count = parameters.length
  if (gradients.length !== count || mean.length !== count || square.length !== count) {
    throw new RangeError(`Adam: ${count} parameters, ${gradients.length} gradients, ${mean.length} moments`)
  }
  state.step++
  const stepSize = learningRate / (1 - power(beta1, state.step))
  const correction = Math.sqrt(1 - power(beta2, state.step))
  for (let i = 0; i < count; i++) {
    const gradient = gradients[i]!
    const m = beta1 * mean[i]! + (1 - beta1) * gradient
    const v = beta2 * square[i]! + (1 - beta2) * gradient * gradient
    mean[i] = m
    square[i] = v
    parameters[i] = parameters[i]! - (stepSize * m) / (Math.sqrt(v) / correction + epsilon)
  }
}

/** The state as a safetensors file: same state, same bytes. @param extra what is kept beside it */
export function encodeAdamState({ step, mean, square }: AdamState, extra: readonly NamedTensor[] = []): Uint8Array {
  const shape = [mean.length]
  return encodeSafetensors({
    tensors: [
      { name: 'exp_avg', dtype: 'F32', shape, data: bytesOf(mean) },
      { name: 'exp_avg_sq', dtype: 'F32', shape, data: bytesOf(square) },
      ...extra,
    ],
    metadata: { format: FORMAT, step: String(step) },
  })
}

/**
 * Reads what `encodeAdamState` wrote; the result shares no memory with the bytes.
 * @throws MeshflError `SAFETENSORS_MALFORMED`, `OPTIMIZER_STATE_INVALID`
 */
export function decodeAdamState(bytes: Uint8Array, parameterCount: number): AdamState {
  const { tensors, metadata } = decodeSafetensors(bytes, 'optimiser state')
  const invalid = (what: string): MeshflError =>
    new MeshflError('OPTIMIZER_STATE_INVALID', `the optimiser state does not fit the model: ${what}`, {
      hint: 'start the run again in an empty folder, or give the study that it was started with',
    })
  if (metadata.format !== FORMAT) throw invalid(`its format is ${metadata.format ?? 'not stated'}, expected ${FORMAT}`)
  const step = /^\d{1,15}$/.test(metadata.step ?? '') ? Number(metadata.step) : Number.NaN
  if (Number.isNaN(step)) throw invalid('it has no step count')
  const moment = (name: string): Float32Array => {
    const tensor = tensors.find((candidate) => candidate.name === name)
    if (tensor?.dtype !== 'F32' || tensor.data.byteLength !== parameterCount * 4) {
      throw invalid(`${name} is not ${parameterCount} floats`)
    }
    const values = new Float32Array(parameterCount)
    bytesOf(values).set(tensor.data)
    if (!values.every(Number.isFinite)) throw invalid(`${name} holds a number that is not finite`)
    return values
  }
  const mean = moment('exp_avg')
  const square = moment('exp_avg_sq')
  if (square.some((value) => value < 0)) throw invalid('exp_avg_sq holds a negative number')
  return { step, mean, square }
}

/** base ** exponent by repeated squaring: the same bits in every JavaScript engine, which Math.pow does not promise. */
function power(base: number, exponent: number): number {
  let result = 1
  let square = base
  for (let left = exponent; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result *= square
    square *= square
  }
  return result
}
