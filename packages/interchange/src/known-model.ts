import { MeshflError, type MeshNetSpec } from '@meshfl/core'

/** What is known of a network beside its weights. */
export type KnownModel = Partial<MeshNetSpec>

/**
 * Reads the reference's modelAE.json: `layers`, each with its dilation, the last one the 1x1x1 convolution. Its flag `gelu` chooses ELU,
 * and without it ReLU. Its channels are left aside, because the reference replaces them by an argument.
 * Source: https://github.com/neuroneural/brainchop, v3/py2tfjs/conversion_example.
 * @throws MeshflError `REFERENCE_MODEL_INVALID`
 */
export function parseReferenceModel(json: string, source: string): KnownModel {
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
    ...(typeof gelu === 'boolean' ? { activation: gelu ? 'elu' : 'relu' } : {}),
    ...(typeof bnorm === 'boolean' ? { normalization: bnorm ? 'batch' : 'none' } : {}),
    ...(typeof dropout === 'number' && dropout >= 0 && dropout < 1 ? { dropout } : {}),
  }
}

const show = (value: unknown): string => JSON.stringify(value)?.slice(0, 40) ?? 'nothing'
