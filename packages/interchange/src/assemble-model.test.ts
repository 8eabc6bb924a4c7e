import { MeshflError } from '@meshfl/core'
import { expect, test } from 'vitest'
import { assembleModel } from './assemble-model.js'
import { type KnownModel, knownOfReference, parseReferenceModel } from './known-model.js'
import type { NetworkParts } from './network-parts.js'

const zeros = (n: number): Float32Array => new Float32Array(n)
const partsOf = (blocks: number): NetworkParts => ({
  channels: 1,
  classes: 2,
  blocks: Array.from({ length: blocks }, () => ({ weight: zeros(27), bias: zeros(1) })),
  head: { weight: zeros(2), bias: zeros(2) },
})
const codeOf = (run: () => unknown): string => {
  try {
    run()
    return 'none'
  } catch (error) {
    expect(error).toBeInstanceOf(MeshflError)
    return (error as MeshflError).code
  }
}
const assemble = (parts: NetworkParts, known: KnownModel = {}) => assembleModel(parts, known, 'zyx', 'a.pth')

test('nine blocks without a word are taken for the paper’s, and that is said; another number is asked for', () => {
  const { spec, assumed } = assemble(partsOf(9))
  expect(spec).toMatchObject({ dilations: [1, 2, 4, 8, 16, 8, 4, 2, 1], activation: 'elu', normalization: 'none' })
  expect(assumed).toEqual(['the dilations: 1 2 4 8 16 8 4 2 1', 'the normalisation: none', 'the activation: elu'])
  expect(codeOf(() => assemble(partsOf(8)))).toBe('IMPORT_DILATIONS_UNKNOWN')
})

test('what is said of a network may not contradict its file', () => {
  const known: KnownModel = { dilations: [1, 3], activation: 'relu', normalization: 'none' }
  expect(assemble(partsOf(2), known).assumed).toEqual([])
  expect(assemble(partsOf(9), { normalization: 'instance' }).spec.normalization).toBe('instance')
  expect(codeOf(() => assemble({ ...partsOf(9), normalization: 'none' }, { normalization: 'instance' }))).toBe(
    'IMPORT_MODEL_MISMATCH',
  )
  for (const known of [{ channels: 5 }, { classes: 3 }, { normalization: 'batch' as const }, { dilations: [1] }])
    expect(codeOf(() => assemble(partsOf(9), known))).toBe('IMPORT_MODEL_MISMATCH')
})

test('a network with numbers that are not finite, or a variance below 0, is refused', () => {
  const parts = partsOf(9)
  parts.blocks[3]!.bias![0] = Number.NaN
  expect(codeOf(() => assemble(parts))).toBe('IMPORT_NOT_FINITE')
  const normalization = { weight: zeros(1), bias: zeros(1), mean: zeros(1), variance: Float32Array.of(-1) }
  const normalized = { ...partsOf(9), normalization: 'batch' as const }
  normalized.blocks = normalized.blocks.map((block) => ({ ...block, normalization }))
  expect(codeOf(() => assemble(normalized))).toBe('IMPORT_NOT_FINITE')
})

test('a network beyond what our spec allows is refused', () => {
  expect(codeOf(() => assemble({ ...partsOf(9), classes: 200, head: { weight: zeros(200), bias: zeros(200) } }))).toBe(
    'MODEL_UNSUPPORTED',
  )
})

test('the reference’s modelAE.json is read: dilations, dropout and its two flags', () => {
  const layer = (dilation: number) => ({
    in_channels: 5,
    out_channels: 5,
    kernel_size: 3,
    padding: dilation,
    stride: 1,
    dilation,
  })
  const head = { in_channels: 5, out_channels: -1, kernel_size: 1, padding: 0, stride: 1, dilation: 1 }
  const file = { header: 'x', bnorm: true, gelu: true, dropout_p: 0.1, layers: [layer(1), layer(2), head] }
  const read = (value: unknown) => parseReferenceModel(JSON.stringify(value), 'modelAE.json')
  expect(read(file)).toEqual({ dilations: [1, 2], gelu: true, bnorm: true, dropout: 0.1 })
  expect(read({ layers: file.layers })).toEqual({ dilations: [1, 2] })
  const bad = [
    null,
    {},
    { layers: [head] },
    { layers: [layer(1), layer(2)] },
    { layers: [{ ...layer(1), padding: 2 }, head] },
    { layers: [{ ...layer(1), stride: 2 }, head] },
    { layers: [layer(0), head] },
    { layers: [null, head] },
  ]
  for (const value of bad) expect(codeOf(() => read(value))).toBe('REFERENCE_MODEL_INVALID')
  expect(codeOf(() => parseReferenceModel('{', 'modelAE.json'))).toBe('REFERENCE_MODEL_INVALID')
})

const meaning = (flags: { gelu?: boolean; bnorm?: boolean }, told: KnownModel) =>
  knownOfReference({ dilations: [1, 2], ...flags }, told, 'a.pth')

test('beside BatchNorm, "gelu" of the reference is taken for ELU, and that is said; without it it is ReLU', () => {
  const batch = { normalization: 'batch' } as const
  expect(meaning({ gelu: true, bnorm: true }, batch)).toEqual({
    known: { dilations: [1, 2], normalization: 'batch', activation: 'elu' },
    assumed: ['the activation: elu, which "gelu" of a modelAE.json means where there is BatchNorm'],
  })
  const relu = { known: { dilations: [1, 2], normalization: 'batch', activation: 'relu' }, assumed: [] }
  expect(meaning({ gelu: false, bnorm: true }, batch)).toEqual(relu)
})

test('without BatchNorm, the flags of the reference mean two networks, and a study is asked for', () => {
  const refusal = (words: string, hint: string) =>
    expect.objectContaining({
      code: 'REFERENCE_MODEL_AMBIGUOUS',
      message: expect.stringContaining(words),
      hint: expect.stringContaining(hint),
    })
  const instance = 'model: {dilations: [1, 2], normalization: instance, activation: '
  expect(() => meaning({ gelu: true, bnorm: true }, {})).toThrow(refusal('has no BatchNorm', `${instance}gelu}`))
  expect(() => meaning({ gelu: false, bnorm: true }, {})).toThrow(refusal('has no BatchNorm', `${instance}relu}`))
  const none = 'model: {dilations: [1, 2], normalization: none, activation: elu}, or with gelu'
  for (const flags of [{ gelu: true }, { gelu: true, bnorm: false }])
    expect(() => meaning(flags, {})).toThrow(refusal('ELU, as in older versions', none))
  const relu = { dilations: [1, 2], normalization: 'none', activation: 'relu' }
  expect(meaning({ gelu: false, bnorm: false }, {}).known).toEqual(relu)
})

test('what a file tells of its own network decides what the flags of the reference mean', () => {
  const told: KnownModel = { normalization: 'instance', activation: 'gelu' }
  expect(meaning({ gelu: true, bnorm: true }, told)).toEqual({ known: { dilations: [1, 2], ...told }, assumed: [] })
  // Which contradicts the file, and is refused as any other contradiction.
  const folded: KnownModel = { normalization: 'none', activation: 'relu' }
  expect(meaning({ gelu: true, bnorm: true }, folded).known).toMatchObject({
    normalization: 'batch',
    activation: 'elu',
  })
})
