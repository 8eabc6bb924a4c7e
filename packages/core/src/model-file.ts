import { MeshflError } from './errors.js'
import { bytesOf, canonicalJson } from './hash.js'
import type { ModelLayout, ModelState, TensorEntry } from './model.js'
import { decodeSafetensors, encodeSafetensors, type NamedTensor, type SafetensorsFile } from './safetensors.js'
import { type Study, studySha256 } from './study.js'

/** What a model file says of the study that made it: enough to segment a scan without the run's folder. */
export function modelMetadata(study: Study, round: number): Record<string, string> {
  const { model, classNames, conform, voxelSizeMm, labelMap } = study
  return {
    'meshfl.study': studySha256(study),
    'meshfl.round': String(round),
    'meshfl.spec': canonicalJson(model),
    'meshfl.data': canonicalJson({ classNames, conform, voxelSizeMm, labelMap }),
  }
}

/** A model as a safetensors file: one tensor a `state_dict` key; `metadata` is kept as it is. */
export function encodeModel(
  layout: ModelLayout,
  model: ModelState,
  metadata: Record<string, string> = {},
  extra: NamedTensor[] = [],
): Uint8Array {
  const slice = (entries: readonly TensorEntry[], values: Float32Array): NamedTensor[] =>
    entries.map(({ name, shape, offset }) => ({
      name,
      dtype: 'F32',
      shape,
      data: bytesOf(values.subarray(offset, offset + elementCount(shape))),
    }))
  return encodeSafetensors({
    tensors: [...slice(layout.parameters, model.parameters), ...slice(layout.statistics, model.statistics), ...extra],
    metadata: { ...metadata, 'meshfl.layout': layout.sha256 },
  })
}

/**
 * Reads what `encodeModel` wrote, or any safetensors file with the same keys and shapes.
 * @throws MeshflError `SAFETENSORS_MALFORMED`, `MODEL_LAYOUT_MISMATCH`
 */
export function decodeModel(
  layout: ModelLayout,
  bytes: Uint8Array,
  source = 'model file',
): ModelState & { file: SafetensorsFile } {
  const file = decodeSafetensors(bytes, source)
  const byName = new Map(file.tensors.map((tensor) => [tensor.name, tensor]))
  const read = (entries: readonly TensorEntry[], count: number): Float32Array => {
    const values = new Float32Array(count)
    for (const { name, shape, offset } of entries) {
      const tensor = byName.get(name)
      if (tensor?.dtype !== 'F32' || tensor.shape.join() !== shape.join()) {
        throw new MeshflError(
          'MODEL_LAYOUT_MISMATCH',
          `${source} has ${tensor ? `${name} of ${tensor.dtype} [${tensor.shape}]` : `no ${name}`}, expected F32 [${shape}]`,
          {
            hint: 'give the model spec that this file was trained with',
          },
        )
      }
      bytesOf(values).set(tensor.data, offset * 4)
    }
    return values
  }
  return {
    parameters: read(layout.parameters, layout.parameterCount),
    statistics: read(layout.statistics, layout.statisticCount),
    file,
  }
}

/** Product of a shape's dimensions. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1)
}
