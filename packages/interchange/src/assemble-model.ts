import {
  canonicalJson,
  elementCount,
  MeshflError,
  type MeshNetSpec,
  MeshNetSpecSchema,
  type ModelLayout,
  type ModelState,
  type TensorEntry,
} from '@meshfl/core'
import { checkSpec, modelLayout } from '@meshfl/engine'
import { type Axes, turnKernels } from './axes.js'
import type { KnownModel } from './known-model.js'
import type { NetworkParts } from './network-parts.js'

/** A model of ours, and in words what neither the file nor anybody said. */
export interface AssembledModel {
  spec: MeshNetSpec
  state: ModelState
  assumed: string[]
}

const DEFAULTS = MeshNetSpecSchema.parse({})

/**
 * Lays a network out flat as one of ours. What its file does not tell is taken from `known`, then from the defaults of the study; the
 * default dilations are only those of nine blocks.
 * @param axes the order of the volumes that the file's kernels are for
 * @throws MeshflError `IMPORT_MODEL_MISMATCH`, `IMPORT_DILATIONS_UNKNOWN`, `IMPORT_NOT_FINITE`, `MODEL_UNSUPPORTED`
 */
export function assembleModel(parts: NetworkParts, known: KnownModel, axes: Axes, source: string): AssembledModel {
  const assumed: string[] = []
  // A network with instance normalisation has the tensors of one with none.
  const normalization = parts.normalization ?? (known.normalization === 'instance' ? 'instance' : 'none')
  const seen: KnownModel = {
    channels: parts.channels,
    classes: parts.classes,
    convolutionBias: parts.blocks[0]?.bias !== undefined,
    normalization,
    ...(parts.dilations ? { dilations: parts.dilations } : {}),
    ...(parts.activation ? { activation: parts.activation } : {}),
  }
  for (const key of Object.keys(seen) as (keyof KnownModel)[]) {
    if (known[key] !== undefined && canonicalJson(known[key]) !== canonicalJson(seen[key]))
      throw mismatch(source, key, seen, known)
  }
  const { dilations = defaultDilations(parts, source, assumed), activation } = { ...known, ...seen }
  if (dilations.length !== parts.blocks.length) {
    const both = `${parts.blocks.length} blocks, and ${dilations.length} dilations are given for it`
    throw mismatchError(source, both)
  }
  if ((parts.normalization ?? known.normalization) === undefined) assumed.push(`the normalisation: ${normalization}`)
  if (activation === undefined) assumed.push(`the activation: ${DEFAULTS.activation}`)
  const spec = checkSpec({ ...DEFAULTS, ...known, ...seen, dilations: [...dilations] })
  return { spec, state: layOut(modelLayout(spec), parts, axes, source), assumed }
}

function defaultDilations({ blocks }: NetworkParts, source: string, assumed: string[]): number[] {
  if (blocks.length !== DEFAULTS.dilations.length) {
    throw new MeshflError(
      'IMPORT_DILATIONS_UNKNOWN',
      `${source} has ${blocks.length} blocks, and weights do not tell their dilations`,
      {
        kind: 'usage',
        hint: 'give them with --model: a modelAE.json or a study.yaml',
        data: { blocks: blocks.length },
      },
    )
  }
  assumed.push(`the dilations: ${DEFAULTS.dilations.join(' ')}`)
  return DEFAULTS.dilations
}

function layOut(layout: ModelLayout, parts: NetworkParts, axes: Axes, source: string): ModelState {
  const tensors = tensorsByName(parts, axes)
  const fill = (entries: readonly TensorEntry[], values: Float32Array): Float32Array => {
    for (const { name, shape, offset } of entries) {
      const tensor = tensors.get(name)
      if (tensor?.length !== elementCount(shape)) throw new Error(`${name} was not checked`)
      if (!tensor.every(Number.isFinite)) throw notFinite(source, name, 'that are not finite')
      if (name.endsWith('running_var') && tensor.some((value) => value < 0))
        throw notFinite(source, name, 'below 0, which no variance is')
      values.set(tensor, offset)
    }
    return values
  }
  return {
    parameters: fill(layout.parameters, new Float32Array(layout.parameterCount)),
    statistics: fill(layout.statistics, new Float32Array(layout.statisticCount)),
  }
}

/** The tensors under the names that a layout of ours gives them. */
function tensorsByName({ blocks, head }: NetworkParts, axes: Axes): Map<string, Float32Array> {
  const tensors = new Map<string, Float32Array>()
  for (const [i, { weight, bias, normalization }] of blocks.entries()) {
    tensors.set(`model.${i}.0.weight`, axes === 'zyx' ? weight : turnKernels(weight))
    if (bias) tensors.set(`model.${i}.0.bias`, bias)
    if (!normalization) continue
    tensors.set(`model.${i}.1.weight`, normalization.weight)
    tensors.set(`model.${i}.1.bias`, normalization.bias)
    tensors.set(`model.${i}.1.running_mean`, normalization.mean)
    tensors.set(`model.${i}.1.running_var`, normalization.variance)
  }
  tensors.set(`model.${blocks.length}.weight`, head.weight)
  tensors.set(`model.${blocks.length}.bias`, head.bias)
  return tensors
}

function notFinite(source: string, name: string, what: string): MeshflError {
  return new MeshflError('IMPORT_NOT_FINITE', `${source} has in ${name} numbers ${what}`, {
    hint: 'name a model whose training did not diverge',
    data: { name },
  })
}

function mismatch(source: string, key: keyof KnownModel, seen: KnownModel, known: KnownModel): MeshflError {
  return mismatchError(
    source,
    `${key} ${JSON.stringify(seen[key])}, not ${JSON.stringify(known[key])} as is said of it`,
  )
}

function mismatchError(source: string, what: string): MeshflError {
  return new MeshflError('IMPORT_MODEL_MISMATCH', `${source} has ${what}`, {
    kind: 'usage',
    hint: 'give with --model what this network was made with, or leave it out',
  })
}
