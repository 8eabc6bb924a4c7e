import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EventOf } from '@meshfl/core'
import { beforeAll, expect, test } from 'vitest'
import { cli, root, temporaryFolder } from './cli.js'
import { makeDataset, makeSource } from './made-brains.js'

/** A network of 2 channels with dilations 1 2 1, as torch.save wrote it. */
const pth = join(root, 'fixtures/torch/state.pth')
let folder: string
let scan: string
/** Of the model that was imported from it. */
let imported: EventOf<'model'>

const run = (...args: string[]) => cli([...args, '--json'])

beforeAll(async () => {
  folder = temporaryFolder('interchange')
  const source = await makeSource(1)
  scan = join(source, 'images', readdirSync(join(source, 'images'))[0]!)
  const layers = [1, 2, 1].map((dilation) => ({ kernel_size: 3, stride: 1, padding: dilation, dilation }))
  const head = { kernel_size: 1, stride: 1, padding: 0, dilation: 1 }
  writeFileSync(join(folder, 'modelAE.json'), JSON.stringify({ bnorm: true, gelu: true, layers: [...layers, head] }))
  const options = ['--model', join(folder, 'modelAE.json'), '--out', join(folder, 'model.safetensors')]
  const { code, last } = await run('import', pth, ...options)
  expect(code).toBe(0)
  imported = last as EventOf<'model'>
})

test('a .pth of PyTorch is imported and segments a scan', async () => {
  // 54 + 2 + 4, twice 108 + 2 + 4, 6 + 3
  expect(imported).toMatchObject({ type: 'model', format: 'torch', parameters: 297 })
  expect(imported.assumed).toContain('the axes that it was trained on: xyz')
  const predict = ['predict', imported.path, scan, '--out', join(folder, 'labels')]
  const { code, last } = await run(...predict, '--shape', '16', '--voxel-size', '12')
  expect(code).toBe(0)
  expect(Object.keys((last as EventOf<'prediction'>).volumesMl)).toEqual(['white matter', 'grey matter'])
})

test.each(['pth', 'onnx', 'safetensors'])(
  'what is exported as %s is imported as the same model, for either order of axes',
  async (format) => {
    for (const axes of ['xyz', 'zyx']) {
      const [file, back] = ['exported', 'back.safetensors'].map((name) =>
        join(folder, `${format}-${axes}-${name}`),
      ) as [string, string]
      const written = await run('export', imported.path, '--format', format, '--axes', axes, '--out', file)
      expect(written).toMatchObject({ code: 0, last: { type: 'export', format, path: file, axes } })
      const read = await run('import', file, '--out', back)
      expect(read).toMatchObject({ code: 0, last: { parametersSha256: imported.parametersSha256, parameters: 297 } })
    }
  },
)

test('what is exported for brainchop is imported as a network without BatchNorm', async () => {
  const model = join(folder, 'brainchop', 'model.json')
  expect((await run('export', imported.path, '--format', 'brainchop', '--out', model)).code).toBe(0)
  expect(readdirSync(join(folder, 'brainchop')).sort()).toEqual(['model.bin', 'model.json'])
  const read = await run('import', join(folder, 'brainchop'), '--out', join(folder, 'folded.safetensors'))
  // Three times 4 scales and shifts fewer.
  expect(read).toMatchObject({ code: 0, last: { format: 'brainchop', parameters: 297 - 12 } })
})

test('an imported model is scored on a dataset, trained on, and what came of it is exported', async () => {
  const dataset = await makeDataset(1)
  const scored = await run(
    'eval',
    imported.path,
    '--data',
    dataset,
    '--split',
    'valid',
    '--out',
    join(folder, 'report'),
  )
  expect(scored).toMatchObject({ code: 0, last: { type: 'report' } })
  const out = join(folder, 'run')
  const trained = await run('train', dataset, '--out', out, '--from', imported.path, '--rounds', '1')
  expect(trained).toMatchObject({ code: 0, last: { type: 'done' } })
  const exported = await run('export', out, '--format', 'pth', '--out', join(folder, 'trained.pth'))
  const again = await run('import', join(folder, 'trained.pth'), '--out', join(folder, 'trained.safetensors'))
  // Network, classes and grid came with the file.
  expect(again).toMatchObject({ code: 0, last: { assumed: [] } })
  expect((again.last as EventOf<'model'>).parametersSha256).toBe((exported.last as EventOf<'export'>).parametersSha256)
})

test('a model file that was exported for other axes segments as before', async () => {
  const turned = join(folder, 'turned.safetensors')
  expect((await run('export', imported.path, '--format', 'safetensors', '--axes', 'xyz', '--out', turned)).code).toBe(0)
  const labels = []
  for (const model of [imported.path, turned]) {
    const out = join(folder, `labels-${labels.length}`)
    const { last } = await run('predict', model, scan, '--out', out, '--shape', '16', '--voxel-size', '12')
    labels.push(readFileSync((last as EventOf<'prediction'>).label))
  }
  expect(labels[0]).toEqual(labels[1])
})

test('a file that is there is not replaced without --force; words and files that make no sense are told', async () => {
  const out = join(folder, 'model.safetensors')
  expect(await run('export', out, '--format', 'pth', '--out', out)).toMatchObject({
    code: 2,
    last: { type: 'error', code: 'MODEL_FILE_EXISTS' },
  })
  const fresh = join(folder, 'fresh.safetensors')
  expect(await run('import', pth, '--out', fresh)).toMatchObject({
    code: 2,
    last: { code: 'IMPORT_DILATIONS_UNKNOWN' },
  })
  expect(await run('import', scan, '--out', fresh)).toMatchObject({ code: 3, last: { code: 'IMPORT_FORMAT_UNKNOWN' } })
  const study = join(folder, 'study.yaml')
  writeFileSync(study, 'model: {channels: 3, dilations: [1, 2, 1]}\n')
  const mismatch = await run('import', pth, '--model', study, '--out', fresh)
  expect(mismatch).toMatchObject({ code: 2, last: { code: 'IMPORT_MODEL_MISMATCH' } })
  writeFileSync(study, 'model: {channels: 2, dilations: [1, 2, 1]}\n')
  const named = await run('import', pth, '--model', study, '--class-names', 'one,two', '--out', fresh)
  expect(named).toMatchObject({ code: 2, last: { code: 'CLASS_NAMES_INVALID' } })
  expect(existsSync(fresh)).toBe(false)
})
