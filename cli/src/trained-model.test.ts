import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeModel, MeshNetSpecSchema } from '@meshfl/core'
import { initializeModel, modelLayout } from '@meshfl/engine'
import { expect, test } from 'vitest'
import { openTrainedModel } from './trained-model.js'

const spec = MeshNetSpecSchema.parse({ channels: 2, dilations: [1] })

/** A model file that says so of its data. */
function modelWith(data: unknown, more: Record<string, string> = {}): string {
  const file = join(mkdtempSync(join(tmpdir(), 'meshfl-model-')), 'model.safetensors')
  const metadata = { 'meshfl.spec': JSON.stringify(spec), 'meshfl.data': JSON.stringify(data), ...more }
  writeFileSync(file, encodeModel(modelLayout(spec), initializeModel(spec, 1), metadata))
  return file
}

test('a model file that names no classes has them by number', async () => {
  expect((await openTrainedModel(modelWith({}))).data.classNames).toEqual(['class 0', 'class 1', 'class 2'])
})

test.each([
  ['no object', 7],
  ['class names that are none', { classNames: 5 }],
  ['fewer class names than classes', { classNames: ['background', 'brain'] }],
  ['a conform that is none', { conform: { mode: 'freesurfer', shape: [32, 32] } }],
  ['voxels of no size', { voxelSizeMm: 0 }],
])('a model file that says %s of its data is refused', async (_, data) => {
  await expect(openTrainedModel(modelWith(data))).rejects.toMatchObject({ code: 'MODEL_SPEC_UNKNOWN' })
})

test('a model file for axes in an order that is not known is refused', async () => {
  const error = { code: 'MODEL_SPEC_UNKNOWN', message: expect.stringContaining('axes') }
  await expect(openTrainedModel(modelWith({}, { 'meshfl.axes': 'yxz' }))).rejects.toMatchObject(error)
})

test('a model of another tool is told from a damaged one: it is to be imported first', async () => {
  for (const start of ['PK\x03\x04', '\x80\x02', '\x08\x08\x12', '{"modelTopology":']) {
    const file = join(mkdtempSync(join(tmpdir(), 'meshfl-model-')), 'model.pth')
    writeFileSync(file, Buffer.from(start.padEnd(64), 'latin1'))
    const error = { code: 'SAFETENSORS_MALFORMED', hint: expect.stringContaining(`meshfl import ${file}`) }
    await expect(openTrainedModel(file)).rejects.toMatchObject(error)
  }
  const cut = modelWith({})
  writeFileSync(cut, readFileSync(cut).subarray(0, 100))
  await expect(openTrainedModel(cut)).rejects.toMatchObject({ hint: expect.stringContaining('copied whole') })
})
