import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeModel, encodeModel, type MeshNetSpec, MeshNetSpecSchema, type ModelData } from '@meshfl/core'
import { initializeModel, modelLayout } from '@meshfl/engine'
import { expect, test } from 'vitest'
import { importModel } from './import-model.js'
import { openTrainedModel } from './trained-model.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-import-'))
let count = 0
const fresh = (ending: string): string => join(folder, `${count++}${ending}`)
function written(text: string, ending = '.yaml'): string {
  const file = fresh(ending)
  writeFileSync(file, text)
  return file
}

/** A file with the tensors of a network; with `data`, one that says of itself what model files of ours say. */
function modelFile(keys: Partial<MeshNetSpec>, data?: Partial<ModelData>, more: Record<string, string> = {}): string {
  const spec = MeshNetSpecSchema.parse({ channels: 2, ...keys })
  const metadata = data === undefined ? {} : describeModel(spec, data)
  const file = fresh('.safetensors')
  writeFileSync(file, encodeModel(modelLayout(spec), initializeModel(spec, 1), { ...metadata, ...more }))
  return file
}

async function imported(file: string, study?: string, ending = '.yaml') {
  const out = fresh('.safetensors')
  const model = study === undefined ? {} : { model: written(study, ending) }
  const { assumed } = await importModel(file, { out, ...model })
  const { spec, data } = await openTrainedModel(out)
  return { spec, data, assumed }
}

test('a study that says nothing of the network leaves what a file of ours says of itself', async () => {
  const file = modelFile({ activation: 'relu', dilations: [2, 3] }, {})
  const { spec, data } = await imported(file, 'classNames: [background, a, b]')
  expect(spec).toMatchObject({ activation: 'relu', dilations: [2, 3] })
  expect(data.classNames).toEqual(['background', 'a', 'b'])
})

test('what a study leaves out of a network is assumed, and that is said', async () => {
  const { assumed } = await imported(modelFile({}), 'classNames: [background, a, b]')
  expect(assumed).toEqual(expect.arrayContaining(['the dilations: 1 2 4 8 16 8 4 2 1', 'the activation: elu']))
})

test('the names of a study are counted against the classes of the file', async () => {
  const file = modelFile({ classes: 2 })
  expect((await imported(file, 'classNames: [background, brain]')).data.classNames).toEqual(['background', 'brain'])
  await expect(imported(file, 'classNames: [background, a, b]')).rejects.toMatchObject({ code: 'CLASS_NAMES_INVALID' })
})

test('a study that contradicts what a file of ours says of itself is refused; another dropout is not', async () => {
  const file = modelFile({ dilations: [1, 2] }, {})
  for (const study of ['model: {activation: relu}', 'model: {dilations: [2, 1]}', 'model: {normalization: instance}']) {
    await expect(imported(file, study)).rejects.toMatchObject({ code: 'IMPORT_MODEL_MISMATCH' })
  }
  expect((await imported(file, 'model: {dropout: 0.25, dilations: [1, 2]}')).spec.dropout).toBe(0.25)
})

test('a study of other scans than those that a file of ours was trained on is refused; what the file does not say is taken', async () => {
  const file = modelFile({}, { voxelSizeMm: 2 })
  await expect(imported(file, 'voxelSizeMm: 1')).rejects.toMatchObject({
    code: 'IMPORT_MODEL_MISMATCH',
    message: expect.stringContaining('says of itself voxelSizeMm 2, not 1'),
  })
  const { data } = await imported(file, 'voxelSizeMm: 2\nlabelMap: mine')
  expect(data).toMatchObject({ voxelSizeMm: 2, labelMap: 'mine' })
})

test('a file of ours for axes in an order that is not known is refused', async () => {
  const file = modelFile({}, {}, { 'meshfl.axes': 'yxz' })
  await expect(imported(file)).rejects.toMatchObject({ code: 'MODEL_SPEC_UNKNOWN' })
})

test('a file of ours that names no classes keeps their numbers, and that is said', async () => {
  const { data, assumed } = await imported(modelFile({ classes: 3 }, {}))
  expect(data.classNames).toEqual(['class 0', 'class 1', 'class 2'])
  expect(assumed).toContain('the classes: class 0 to class 2')
})

/** A modelAE.json of the reference with two blocks. */
const modelAE = JSON.stringify({
  bnorm: true,
  gelu: true,
  layers: [1, 2].map((dilation) => ({ kernel_size: 3, dilation })).concat({ kernel_size: 1, dilation: 1 }),
})

test('a network of the reference with BatchNorm is of its older code: ELU, and that is said', async () => {
  const { spec, assumed } = await imported(modelFile({ dilations: [1, 2] }), modelAE, '.json')
  expect(spec).toMatchObject({ dilations: [1, 2], normalization: 'batch', activation: 'elu' })
  expect(assumed.join()).toContain('the activation: elu, which "gelu"')
})

test('a network of its newer code is refused with a modelAE.json, and imported with the study that the hint gives', async () => {
  const newer: Partial<MeshNetSpec> = {
    dilations: [1, 2],
    normalization: 'instance',
    activation: 'gelu',
    convolutionBias: false,
  }
  const error = await imported(modelFile(newer), modelAE, '.json').catch((thrown) => thrown)
  expect(error).toMatchObject({ code: 'REFERENCE_MODEL_AMBIGUOUS' })
  const study = /model: \{.*\}/.exec(error.hint)![0]
  const { spec, assumed } = await imported(modelFile(newer), study)
  expect(spec).toMatchObject(newer)
  expect(assumed.join()).not.toContain('activation')
  // A file of ours says itself what the flags mean.
  expect((await imported(modelFile(newer, {}), modelAE, '.json')).spec).toMatchObject(newer)
})

test('a name of a folder is refused before anything is read', async () => {
  for (const out of [folder, `${fresh('')}/`]) {
    const words = expect.stringContaining('names a folder')
    await expect(importModel(join(folder, 'none.pth'), { out, force: true })).rejects.toMatchObject({
      code: 'PATH_NOT_WRITABLE',
      message: words,
    })
  }
})
