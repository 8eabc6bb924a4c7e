import { decodeSafetensors, elementCount } from '@meshfl/core'
import { FLOAT_BYTES, type FloatType } from './float-types.js'
import { gather, type StateDict } from './state-dict.js'

/**
 * Reads the state dict in a safetensors file.
 * @throws MeshflError `SAFETENSORS_MALFORMED`, `IMPORT_TOO_LARGE`
 */
export function stateOfSafetensors(bytes: Uint8Array, source: string): StateDict {
  const { tensors, metadata } = decodeSafetensors(bytes, source)
  const floats = tensors.filter(({ dtype }) => Object.hasOwn(FLOAT_BYTES, dtype))
  return {
    tensors: floats.map(({ name, dtype, shape, data }) => {
      const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)))
      const view = { shape, strides, offset: 0 }
      return { name, shape, values: gather(view, dtype as FloatType, data, elementCount(shape), name) }
    }),
    // The format keeps no order: its writers sort by name or by type.
    inModuleOrder: false,
    metadata,
  }
}
