import { decodeSafetensors, MOST_MODEL_HEADER_BYTES } from '@meshfl/core'
import { FLOAT_BYTES, type FloatType } from './float-types.js'
import { createGatherer, type StateDict } from './state-dict.js'

/**
 * Reads the state dict in a safetensors file.
 * @throws MeshflError `SAFETENSORS_MALFORMED`, `IMPORT_TENSOR_MALFORMED`, `IMPORT_TOO_LARGE`
 */
export function stateOfSafetensors(bytes: Uint8Array, source: string): StateDict {
  const { tensors, metadata } = decodeSafetensors(bytes, source, MOST_MODEL_HEADER_BYTES)
  const floats = tensors.filter(({ dtype }) => Object.hasOwn(FLOAT_BYTES, dtype))
  const gather = createGatherer(source)
  return {
    tensors: floats.map(({ name, dtype, shape, data }) => ({
      name,
      shape,
      values: gather({ name, shape, type: dtype as FloatType, bytes: data }),
    })),
    // The format keeps no order: its writers sort by name or by type.
    inModuleOrder: false,
    metadata,
  }
}
