/** PyTorch's kernels (Co, Ci, a, b, c) as Keras has them, (a, b, c, Ci, Co); `taps` is a * b * c. */
export function toKeras(weight: Float32Array, outputs: number, inputs: number, taps: number): Float32Array {
  const turned = new Float32Array(weight.length)
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++)
      for (let tap = 0; tap < taps; tap++)
        turned[(tap * inputs + i) * outputs + o] = weight[(o * inputs + i) * taps + tap]!
  return turned
}

/** And back. */
export function fromKeras(kernel: Float32Array, outputs: number, inputs: number, taps: number): Float32Array {
  const turned = new Float32Array(kernel.length)
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++)
      for (let tap = 0; tap < taps; tap++)
        turned[(o * inputs + i) * taps + tap] = kernel[(tap * inputs + i) * outputs + o]!
  return turned
}
