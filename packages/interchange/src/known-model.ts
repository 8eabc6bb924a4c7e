import { MeshflError, type MeshNetSpec } from '@meshfl/core'

/** What is known of a network beside its weights. */
export type KnownModel = Partial<MeshNetSpec>

/** What the reference's modelAE.json says. What `gelu` and `bnorm` mean depends on the version of the reference that reads them. */
export interface ReferenceModel {
  /** One for each block. */
  dilations: number[]
  dropout?: number
  gelu?: boolean
  bnorm?: boolean
}

/**
 * Reads the reference's modelAE.json: `layers`, each with its dilation, the last one the 1x1x1 convolution. Its channels are left aside,
 * because the reference replaces them by an argument.
 * Source: https://github.com/neuroneural/brainchop, v3/py2tfjs/conversion_example.
 * @throws MeshflError `REFERENCE_MODEL_INVALID`
 */
export function parseReferenceModel(json: string, source: string): ReferenceModel {
  const invalid = (what: string): MeshflError =>
    new MeshflError('REFERENCE_MODEL_INVALID', `${source} is no modelAE.json: ${what}`, {
      kind: 'usage',
      hint: 'give the modelAE.json that the network was made with, or a study.yaml',
    })
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw invalid('it is not JSON')
  }
  const { layers, gelu, bnorm, dropout_p: dropout } = (value ?? {}) as Record<string, unknown>
  if (!Array.isArray(layers) || layers.length < 2 || layers.length > 65) throw invalid('it has no list of layers')
  const dilations = layers.map((layer: unknown, i) => {
    const { kernel_size: kernel, stride, dilation, padding } = (layer ?? {}) as Record<string, unknown>
    const isHead = i === layers.length - 1
    if (kernel !== (isHead ? 1 : 3)) throw invalid(`layer ${i} has a kernel of ${show(kernel)}, not ${isHead ? 1 : 3}`)
    if (stride !== undefined && stride !== 1) throw invalid(`layer ${i} has a stride of ${show(stride)}, not 1`)
    if (!Number.isSafeInteger(dilation) || (dilation as number) < 1)
      throw invalid(`layer ${i} has a dilation of ${show(dilation)}`)
    if (padding !== undefined && padding !== (isHead ? 0 : dilation))
      throw invalid(`layer ${i} has a padding of ${show(padding)}, which would change the size of the volume`)
    return dilation as number
  })
  return {
    dilations: dilations.slice(0, -1),
    ...(typeof gelu === 'boolean' ? { gelu } : {}),
    ...(typeof bnorm === 'boolean' ? { bnorm } : {}),
    ...(typeof dropout === 'number' && dropout >= 0 && dropout < 1 ? { dropout } : {}),
  }
}

const show = (value: unknown): string => JSON.stringify(value)?.slice(0, 40) ?? 'nothing'

/**
 * What a modelAE.json means for the weights of a file. Two versions of the reference's `construct_layer` read the same keys: the older one
 * takes `bnorm` for BatchNorm and `gelu` for ELU; the newer one takes `bnorm` for a GroupNorm of one channel a group without weights, which
 * is instance normalisation, and `gelu` for GELU. Without `gelu` both take ReLU. Tensors of BatchNorm tell that it is the older one.
 * @param told what the file tells of its own network
 * @returns what is known of the network, and in words what is taken for likely
 * @throws MeshflError `REFERENCE_MODEL_AMBIGUOUS` where the weights fit a network of either version
 */
export function knownOfReference(
  { dilations, dropout, gelu, bnorm }: ReferenceModel,
  told: Pick<KnownModel, 'activation' | 'normalization'>,
  source: string,
): { known: KnownModel; assumed: string[] } {
  const known: KnownModel = { dilations, ...(dropout === undefined ? {} : { dropout }) }
  const assumed: string[] = []
  if (bnorm === true) {
    if (told.normalization === undefined)
      throw ambiguous(
        `${source} has no BatchNorm, though modelAE.json says "bnorm": true: newer versions of the reference mean by it a GroupNorm without weights, and by "gelu" GELU`,
        `for a network of those, ${studyOf(dilations, 'instance', gelu ? 'gelu' : 'relu')}`,
      )
    known.normalization = told.normalization === 'instance' ? 'instance' : 'batch'
  } else if (bnorm === false) known.normalization = 'none'
  if (gelu === false) known.activation = 'relu'
  else if (gelu === true) {
    if (told.activation === undefined && told.normalization !== 'batch')
      throw ambiguous(
        `${source} does not tell whether "gelu": true of modelAE.json is ELU, as in older versions of the reference, or GELU, as in newer ones`,
        `${studyOf(dilations, told.normalization ?? 'none', 'elu')}, or with gelu`,
      )
    known.activation = told.activation === 'gelu' ? 'gelu' : 'elu'
    if (told.activation === undefined)
      assumed.push('the activation: elu, which "gelu" of a modelAE.json means where there is BatchNorm')
  }
  return { known, assumed }
}

const ambiguous = (what: string, hint: string): MeshflError =>
  new MeshflError('REFERENCE_MODEL_AMBIGUOUS', what, { kind: 'usage', hint })

/** What a study.yaml has to say instead. */
const studyOf = (dilations: readonly number[], normalization: string, activation: string): string =>
  `give with --model a study.yaml of model: {dilations: [${dilations.join(', ')}], normalization: ${normalization}, activation: ${activation}}`
