import { z } from 'zod'
import { faultOfClassNames } from './class-names.js'
import { MeshflError } from './errors.js'
import { bytesOf, canonicalJson } from './hash.js'
import type { ModelLayout, ModelState, TensorEntry } from './model.js'
import { decodeSafetensors, encodeSafetensors, type NamedTensor, type SafetensorsFile } from './safetensors.js'
import { type MeshNetSpec, MeshNetSpecSchema, type Study, StudySchema, studySha256 } from './study.js'

/** What a model file says of the study that made it: enough to segment a scan without the run's folder. */
export function modelMetadata(study: Study, round: number): Record<string, string> {
  return {
    'meshfl.study': studySha256(study),
    'meshfl.round': String(round),
    ...describeModel(study.model, study),
  }
}

/** The part of it that says how to segment, also of a model that no study of ours has made. */
export function describeModel(spec: MeshNetSpec, data: Partial<ModelData>): Record<string, string> {
  const { classNames, conform, voxelSizeMm, labelMap } = data
  return {
    'meshfl.spec': canonicalJson(spec),
    'meshfl.data': canonicalJson({ classNames, conform, voxelSizeMm, labelMap }),
  }
}

const { conform, voxelSizeMm, labelMap } = StudySchema.shape
const ModelDataSchema = z.object({ classNames: z.array(z.string()).optional(), conform, voxelSizeMm, labelMap })

/** What a model file says of the data that it was trained on. */
export type ModelData = Pick<Study, 'classNames' | 'conform' | 'voxelSizeMm' | 'labelMap'>

/**
 * Reads what `modelMetadata` wrote. A file without it is taken for the paper's model; its classes have numbers for names.
 * @throws MeshflError `MODEL_SPEC_UNKNOWN`
 */
export function readModelMetadata(
  metadata: Readonly<Record<string, string>>,
  source: string,
): { spec: MeshNetSpec; data: ModelData } {
  const unknown = (what: string, cause?: unknown): MeshflError =>
    new MeshflError('MODEL_SPEC_UNKNOWN', `${source} ${what}`, {
      hint: 'use the version of meshfl that wrote it',
      cause,
    })
  try {
    const spec = MeshNetSpecSchema.parse(JSON.parse(metadata['meshfl.spec'] ?? '{}'))
    const data = ModelDataSchema.parse(JSON.parse(metadata['meshfl.data'] ?? '{}'))
    const classNames = data.classNames ?? Array.from({ length: spec.classes }, (_, i) => `class ${i}`)
    if (classNames.length !== spec.classes) throw unknown(`names ${classNames.length} of ${spec.classes} classes`)
    const fault = faultOfClassNames(classNames)
    if (fault !== undefined) throw unknown(`cannot be used: ${fault}`)
    return { spec, data: { ...data, classNames } }
  } catch (cause) {
    if (cause instanceof MeshflError) throw cause
    throw unknown('says of its model or data what this version does not know', cause)
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
