import { bytesOf, decodeSafetensors, encodeSafetensors, MeshflError } from '@meshfl/core'

/** A server optimiser's memory: float64, one value a parameter, by the paper's name for it. Same values, same bytes. */
export function encodeServerState(vectors: Readonly<Record<string, Float64Array>>): Uint8Array {
  return encodeSafetensors({
    tensors: Object.entries(vectors).map(([name, values]) => ({
      name,
      dtype: 'F64',
      shape: [values.length],
      data: bytesOf(values),
    })),
    metadata: {},
  })
}

/**
 * One vector of what `encodeServerState` wrote, as a copy; in the first round `initial` everywhere.
 * @throws MeshflError `COMMIT_INVALID` when the state is of another strategy or model
 */
export function serverVector(state: Uint8Array | null, name: string, length: number, initial = 0): Float64Array {
  const values = new Float64Array(length)
  if (state === null) return values.fill(initial)
  const tensor = decodeSafetensors(state, 'the server’s optimiser').tensors.find((item) => item.name === name)
  if (tensor?.dtype !== 'F64' || tensor.data.byteLength !== values.byteLength) {
    throw new MeshflError('COMMIT_INVALID', `the commit has no ${name} of ${length} numbers`, {
      hint: 'restore the run’s folder from a backup, or start again in an empty one',
    })
  }
  bytesOf(values).set(tensor.data)
  return values
}
