import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeModel, MeshflError, MeshNetSpecSchema } from '@meshfl/core'
import { openEngine } from '@meshfl/engine'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assembleModel } from '../assemble-model.js'
import { golden } from '../golden-state.fixture.js'
import { anySpec, modelOf } from '../random-model.fixture.js'
import { readModel } from '../read-model.js'
import { decodeTfjs, readTfjsModel } from './decode-tfjs.js'
import { encodeTfjs } from './encode-tfjs.js'
import { foldBatchNorm } from './fold-batch-norm.js'

const options = { weightsFile: 'model.bin', shape: [8, 8, 8] as const, metadata: () => ({}) }
const decode = (model: string, weights: Uint8Array) =>
  decodeTfjs(readTfjsModel(model, 'model.json'), [weights], 'model.json')

test('what is exported is imported as the folded network, to the bit', () => {
  const foldable = anySpec.filter(({ normalization }) => normalization !== 'instance')
  fc.assert(
    fc.property(foldable, fc.nat(100), (spec, seed) => {
      const state = modelOf(spec, seed)
      const { model, weights } = encodeTfjs(spec, state, {
        ...options,
        metadata: (folded) => describeModel(folded, {}),
      })
      const { parts, metadata } = decode(model, weights)
      const told = MeshNetSpecSchema.parse(JSON.parse(metadata['meshfl.spec']!))
      const back = assembleModel(parts, told, 'zyx', 'model.json')
      const folded = foldBatchNorm(spec, state)
      expect(back).toEqual({ ...folded, assumed: [] })
    }),
    { numRuns: 50 },
  )
})

test('a folded network gives the logits of the network with BatchNorm', async () => {
  const { spec, state } = foldBatchNorm(golden.spec, golden.state)
  expect(spec).toMatchObject({ normalization: 'none', convolutionBias: true })
  const engine = await openEngine({ device: 'wasm' })
  const session = await engine.createSession(spec, golden.grid, { purpose: 'predict' })
  const { logits } = await session.forward(state, { images: golden.image, count: 1 }, { logits: true })
  session.dispose()
  const largest = golden.logits.zyx.reduce((max, value, i) => Math.max(max, Math.abs(value - logits![i]!)), 0)
  expect(largest).toBeLessThan(1e-4)
})

test('a folder or its model.json is read with the weights beside it; weights elsewhere are not looked for', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'meshfl-tfjs-'))
  const { model, weights } = encodeTfjs(golden.spec, golden.state, options)
  writeFileSync(join(folder, 'model.json'), model)
  await expect(readModel(folder)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
  writeFileSync(join(folder, 'model.bin'), weights)
  const [byFolder, byFile] = [await readModel(folder), await readModel(join(folder, 'model.json'))]
  expect(byFolder).toMatchObject({ format: 'brainchop', parts: { channels: 2, dilations: [1, 2, 1] } })
  expect(byFile).toEqual(byFolder)
  for (const path of ['../model.bin', '/etc/passwd', 'a\\b', '..', '']) {
    const elsewhere = JSON.stringify({ ...JSON.parse(model), weightsManifest: [{ paths: [path], weights: [] }] })
    expect(() => readTfjsModel(elsewhere, 'model.json')).toThrow(expect.objectContaining({ code: 'TFJS_MALFORMED' }))
  }
})

test('files of weights are each named once, and not without end', () => {
  const { model } = encodeTfjs(golden.spec, golden.state, options)
  const read = (...groups: string[][]) =>
    readTfjsModel(
      JSON.stringify({ ...JSON.parse(model), weightsManifest: groups.map((paths) => ({ paths, weights: [] })) }),
      'model.json',
    )
  expect(read(['a'], ['b']).weightFiles).toEqual(['a', 'b'])
  const many = Array.from({ length: 600 }, (_, i) => `${i}`)
  for (const groups of [[['a', 'a']], [['a'], ['a']], [many, many.map((name) => `x${name}`)]])
    expect(() => read(...groups)).toThrow(expect.objectContaining({ code: 'TFJS_MALFORMED' }))
})

/** The same model with one thing of a layer changed. */
function changed(layer: number, change: object, config: object = {}): string {
  const { model } = encodeTfjs(golden.spec, golden.state, options)
  const json = JSON.parse(model)
  const layers = json.modelTopology.model_config.config.layers
  layers[layer] = { ...layers[layer], ...change, config: { ...layers[layer].config, ...config } }
  return JSON.stringify(json)
}

test('what is no MeshNet is refused in words', () => {
  const { model, weights } = encodeTfjs(golden.spec, golden.state, options)
  const refusals: [string, string][] = [
    [changed(1, {}, { padding: 'valid' }), 'not padded by its dilation'],
    [changed(1, {}, { strides: [2, 2, 2] }), 'a stride, groups'],
    [changed(1, {}, { dilation_rate: [1, 2, 1] }), 'several dilations'],
    [changed(2, { class_name: 'MaxPooling3D' }), 'a layer "MaxPooling3D"'],
    [changed(2, { class_name: 'Dropout' }), 'without an activation'],
    [changed(2, {}, { activation: 'tanh' }), 'its activations are "tanh", "elu"'],
    [changed(2, {}, { activation: { toString: 1, valueOf: 1 } }), 'its activations are "without a name", "elu"'],
    [changed(2, { name: undefined }, { name: { toString: 1, valueOf: 1 } }), 'does not follow the one before it'],
    [changed(3, { inbound_nodes: [[['conv0', 0, 0, {}]]] }), 'does not follow the one before it'],
    [changed(2, { class_name: 'ReLU' }, { max_value: 6 }), 'its ReLU has a limit'],
    [changed(2, { class_name: 'ReLU' }, { max_value: 0 }), 'its ReLU has a limit'],
    [changed(2, { class_name: 'ReLU' }, { negative_slope: 0.3 }), 'a slope below 0'],
    [changed(2, { class_name: 'ReLU' }, { threshold: 0.5 }), 'a threshold'],
    [changed(2, { class_name: 'ReLU' }, { max_value: null, negative_slope: 0, threshold: 0 }), 'are "relu", "elu"'],
    [changed(2, { class_name: 'ELU' }, { alpha: 0.5 }), 'another alpha'],
    [changed(1, {}, { use_bias: false }), 'says that it has no bias'],
    [model.replaceAll('conv0/bias', 'conv0/other'), 'says that it has a bias'],
    [changed(1, { name: 'conv9' }), 'the kernel of its layer "conv9"'],
  ]
  for (const [json, words] of refusals) {
    const refusal = expect.objectContaining({ code: 'IMPORT_NOT_MESHNET', message: expect.stringContaining(words) })
    expect(() => decode(json, weights)).toThrow(refusal)
  }
  const instance = MeshNetSpecSchema.parse({ normalization: 'instance' })
  expect(() => encodeTfjs(instance, modelOf(instance, 1), options)).toThrow(
    expect.objectContaining({ code: 'EXPORT_UNSUPPORTED' }),
  )
})

test('what a file names is cut before it is shown', () => {
  const { model, weights } = encodeTfjs(golden.spec, golden.state, options)
  const long = 'a'.repeat(1_000_000)
  const quantised = JSON.parse(model)
  Object.assign(quantised.weightsManifest[0].weights[0], { name: long, dtype: 'int8' })
  const files = [
    changed(2, { class_name: long }),
    changed(2, {}, { activation: long }),
    changed(1, { name: long }),
    changed(1, { name: long }, { strides: [2, 2, 2] }),
    JSON.stringify(quantised),
    model.replace('"model.bin"', `"/${long}"`),
  ]
  for (const json of files) {
    let error: unknown
    try {
      decode(json, weights)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(MeshflError)
    expect((error as MeshflError).message).toMatch(/"\/?a{79,80}\.\.\."/)
    expect((error as MeshflError).message.length).toBeLessThan(400)
  }
})

test('a convolution of 1x1x1 before the last one is no layer of a MeshNet', () => {
  const { model, weights } = encodeTfjs(golden.spec, golden.state, options)
  const json = JSON.parse(model)
  const { layers } = json.modelTopology.model_config.config
  const head = layers.pop()
  const { channels } = golden.spec
  layers.push({ ...head, name: 'extra', config: { ...head.config, filters: channels } })
  layers.push({ ...head, inbound_nodes: [[['extra', 0, 0, {}]]] })
  json.weightsManifest[0].weights.push(
    { name: 'extra/kernel', shape: [1, 1, 1, channels, channels], dtype: 'float32' },
    { name: 'extra/bias', shape: [channels], dtype: 'float32' },
  )
  const more = Buffer.concat([weights, new Uint8Array(4 * channels * (channels + 1))])
  const words = 'comes after the 1x1x1 convolution'
  expect(() => decode(JSON.stringify(json), more)).toThrow(
    expect.objectContaining({ code: 'IMPORT_NOT_MESHNET', message: expect.stringContaining(words) }),
  )
})

test('whatever the bytes, the answer is a model or words', () => {
  const { model, weights } = encodeTfjs(golden.spec, golden.state, options)
  const never = (json: string, bytes: Uint8Array): void => {
    try {
      decode(json, bytes)
    } catch (error) {
      if (!(error instanceof MeshflError)) throw error
    }
  }
  for (let length = 0; length < weights.length; length += 17) never(model, weights.subarray(0, length))
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown>(-1, 2 ** 53, 1e308, '__proto__', null, { toString: 1, valueOf: 1 }),
  )
  const numbers = [...model.matchAll(/[\d.]+|"[^"]*"|true|null/g)]
  fc.assert(
    fc.property(fc.nat(numbers.length - 1), value, (at, other) => {
      const { index, 0: word } = numbers[at]!
      never(`${model.slice(0, index)}${JSON.stringify(other)}${model.slice(index + word.length)}`, weights)
    }),
    { numRuns: 2000 },
  )
  fc.assert(fc.property(fc.json(), (json) => never(json, weights)))
})
