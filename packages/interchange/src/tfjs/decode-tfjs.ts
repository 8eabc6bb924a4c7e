import { elementCount, MeshflError, someOf } from '@meshfl/core'
import type { NetworkParts } from '../network-parts.js'
import { notMeshNet, partsOfState } from '../parts-of-state.js'
import { printable } from '../printable.js'
import { createGatherer, type StateTensor } from '../state-dict.js'
import { fromKeras } from './kernel-order.js'
import { ConvolutionSchema, type Layer, type LayersModel, LayersModelSchema } from './layers-model.js'

/** The files beside a model.json, by groups; each group's follow each other. */
interface TfjsModel {
  model: LayersModel
  weightFiles: string[]
}

/** Of weights: more than any MeshNet is cut into. */
const MOST_FILES = 1000

/**
 * Reads the model.json of a tfjs layers-model, as brainchop ships them.
 * @throws MeshflError `TFJS_MALFORMED`
 */
export function readTfjsModel(json: string, source: string): TfjsModel {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw malformed(source, 'it is not JSON')
  }
  const parsed = LayersModelSchema.safeParse(value)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    throw malformed(source, `${path.join('.')}: ${message}`)
  }
  const weightFiles = parsed.data.weightsManifest.flatMap(({ paths }) => paths)
  if (weightFiles.length > MOST_FILES) throw malformed(source, `its weights lie in ${weightFiles.length} files`)
  if (new Set(weightFiles).size < weightFiles.length) throw malformed(source, 'it names a file of its weights twice')
  // They lie in the same folder; a name that leads elsewhere would read what nobody named.
  const elsewhere = weightFiles.find((name) => name === '' || name === '..' || /[/\\\0]/.test(name))
  if (elsewhere !== undefined) throw malformed(source, `its weights lie at ${printable(elsewhere)}`)
  return { model: parsed.data, weightFiles }
}

/**
 * The MeshNet of a layers-model: Conv3D and Activation in turn, BatchNorm folded.
 * @param weights the content of `weightFiles`, in their order
 * @throws MeshflError `TFJS_MALFORMED`, `IMPORT_NOT_MESHNET`, `IMPORT_TOO_LARGE`
 */
export function decodeTfjs(
  { model }: TfjsModel,
  weights: readonly Uint8Array[],
  source: string,
): { parts: NetworkParts; metadata: Record<string, string> } {
  const refuse = (what: string): MeshflError => notMeshNet(source, what)
  const stored = readWeights(model, weights, source)
  const tensors: StateTensor[] = []
  const dilations: number[] = []
  const activations: string[] = []
  let last: string | undefined
  let convolutions = 0
  for (const layer of model.modelTopology.model_config.config.layers) {
    const name = layer.name ?? textOf(layer.config.name)
    if (!follows(layer, last)) throw refuse(`its layer ${printable(name)} does not follow the one before it alone`)
    last = name
    const kind = activationOf(layer, refuse)
    if (kind !== undefined) activations.push(kind)
    else if (layer.class_name === 'Conv3D') {
      if (tensors.length > 0 && activations.length !== dilations.length)
        throw refuse(`its layer ${printable(name)} follows a convolution without an activation`)
      const { size, dilation, hasBias, activation } = convolutionOf(layer, name, refuse)
      const own = convolutionTensors(stored, name, convolutions++, refuse)
      if (own.length - 1 !== Number(hasBias))
        throw refuse(`its layer ${printable(name)} says that it has ${hasBias ? 'a' : 'no'} bias, its weights do not`)
      tensors.push(...own)
      if (size !== 1) dilations.push(dilation)
      if (activation !== 'linear') activations.push(activation)
    } else if (!PASSED_OVER.has(layer.class_name)) throw refuse(`it has a layer ${printable(layer.class_name)}`)
    if (activations.length > dilations.length) throw refuse(`its layer ${printable(name)} is one activation too many`)
  }
  const parts = partsOfState({ tensors, inModuleOrder: true, metadata: {} }, source)
  const [activation, ...others] = new Set(activations)
  if (others.length > 0 || !(activation === 'elu' || activation === 'relu' || activation === 'gelu'))
    throw refuse(`its activations are ${someOf([...new Set(activations)].map(printable)) || 'none'}`)
  const metadata = Object.entries(model.userDefinedMetadata ?? {}).filter(([, text]) => typeof text === 'string')
  return {
    parts: { ...parts, normalization: 'none', dilations, activation },
    metadata: Object.fromEntries(metadata) as Record<string, string>,
  }
}

/** Layers that do nothing when a network is used. */
const PASSED_OVER = new Set(['InputLayer', 'Dropout', 'SpatialDropout3D'])

/** Whether a layer takes what the last one gives, and nothing else. A Sequential model does not say. */
function follows({ class_name: kind, inbound_nodes: inbound }: Layer, last: string | undefined): boolean {
  if (inbound === undefined || kind === 'InputLayer') return true
  if (!Array.isArray(inbound) || inbound.length !== 1) return false
  const [sources] = inbound
  return Array.isArray(sources) && sources.length === 1 && Array.isArray(sources[0]) && sources[0][0] === last
}

function activationOf({ class_name: kind, config }: Layer, refuse: (what: string) => MeshflError): string | undefined {
  switch (kind) {
    case 'Activation':
      return textOf(config.activation)
    case 'ReLU': {
      const { max_value: most, negative_slope: slope, threshold } = config
      // A limit of 0 would leave nothing.
      if ((most ?? null) !== null || (slope ?? 0) !== 0 || (threshold ?? 0) !== 0)
        throw refuse('its ReLU has a limit, a slope below 0 or a threshold')
      return 'relu'
    }
    case 'ELU':
      if ((config.alpha ?? 1) !== 1) throw refuse('its ELU has another alpha than 1')
      return 'elu'
    default:
      return undefined
  }
}

/** What may be any JSON, of which an object need not become text. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value : 'without a name')

function convolutionOf(layer: Layer, name: string, refuse: (what: string) => MeshflError) {
  const parsed = ConvolutionSchema.safeParse(layer.config)
  if (!parsed.success) throw refuse(`its layer ${printable(name)} has no kernel of three axes`)
  const { kernel_size: kernel, strides, padding, data_format, dilation_rate, groups, activation } = parsed.data
  const [size] = kernel as [number, number, number]
  const [dilation] = dilation_rate as [number, number, number]
  if (padding !== 'same' && size !== 1) throw refuse(`its layer ${printable(name)} is not padded by its dilation`)
  if (data_format !== 'channels_last' || groups !== 1 || strides.some((stride) => stride !== 1))
    throw refuse(`its layer ${printable(name)} has a stride, groups or channels first`)
  if (dilation_rate.some((each) => each !== dilation))
    throw refuse(`its layer ${printable(name)} has several dilations`)
  return { size, dilation, activation, hasBias: parsed.data.use_bias }
}

function convolutionTensors(
  stored: ReadonlyMap<string, StateTensor>,
  layer: string,
  convolution: number,
  refuse: (what: string) => MeshflError,
): StateTensor[] {
  const kernel = stored.get(`${layer}/kernel`)
  const bias = stored.get(`${layer}/bias`)
  if (kernel?.shape.length !== 5) throw refuse(`the kernel of its layer ${printable(layer)} is not in its weights`)
  const [a, b, c, inputs, outputs] = kernel.shape as [number, number, number, number, number]
  const values = fromKeras(kernel.values, outputs, inputs, a * b * c)
  return [
    { name: `${convolution}.convolution.weight`, shape: [outputs, inputs, a, b, c], values },
    ...(bias ? [{ ...bias, name: `${convolution}.convolution.bias` }] : []),
  ]
}

/** The tensors of all groups by name: the bytes of a group's files are one after the other. */
function readWeights(model: LayersModel, files: readonly Uint8Array[], source: string): Map<string, StateTensor> {
  const tensors = new Map<string, StateTensor>()
  const gather = createGatherer(source)
  let next = 0
  for (const { paths, weights } of model.weightsManifest) {
    const bytes = Buffer.concat(files.slice(next, next + paths.length))
    next += paths.length
    let at = 0
    for (const { name, shape, dtype, quantization } of weights) {
      if (dtype !== 'float32' || quantization !== undefined)
        throw malformed(source, `${printable(name)} is not stored as float32, or is quantised`)
      const end = at + 4 * elementCount(shape)
      if (end > bytes.byteLength) throw malformed(source, `its weights end before ${printable(name)} does`)
      tensors.set(name, {
        name,
        shape,
        values: gather({ name, shape, type: 'F32', bytes: bytes.subarray(at, end) }),
      })
      at = end
    }
  }
  return tensors
}

function malformed(source: string, what: string): MeshflError {
  return new MeshflError('TFJS_MALFORMED', `${source} is no layers-model of TensorFlow.js that can be read: ${what}`, {
    hint: 'name the model.json of a brainchop model, with its weights in files beside it',
  })
}
