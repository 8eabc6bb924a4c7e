import { decodeSafetensors, MOST_MODEL_HEADER_BYTES } from '@meshfl/core'
import { FLOAT_BYTES, type FloatType } from './float-types.js'
import { notFloats } from './parts-of-state.js'
import { createGatherer, isCounter, type StateDict } from './state-dict.js'

/**
 * Reads the state dict in a safetensors file.
 * @throws MeshflError `SAFETENSORS_MALFORMED`, `IMPORT_NOT_MESHNET`, `IMPORT_TENSOR_MALFORMED`, `IMPORT_TOO_LARGE`
 */
export function stateOfSafetensors(bytes: Uint8Array, source: string): StateDict {
  const { tensors, metadata } = decodeSafetensors(bytes, source, MOST_MODEL_HEADER_BYTES)
  const weights = tensors.filter(({ name }) => !isCounter(name))
  const stranger = weights.find(({ dtype }) => !Object.hasOwn(FLOAT_BYTES, dtype))
  if (stranger) throw notFloats(source, stranger.name, stranger.dtype)
  const gather = createGatherer(source)
  return {
    tensors: weights.map(({ name, dtype, shape, data }) => ({
      name,
      shape,
      values: gather({ name, shape, type: dtype as FloatType, bytes: data }),
    })),
    // The format keeps no order: its writers sort by name or by type.
    inModuleOrder: false,
    metadata,
  }
}
