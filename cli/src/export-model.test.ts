import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeModel, MeshNetSpecSchema, modelMetadata, StudySchema } from '@meshfl/core'
import { initializeModel, modelLayout } from '@meshfl/engine'
import { expect, test } from 'vitest'
import { exportModel } from './export-model.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-export-'))
const spec = MeshNetSpecSchema.parse({ channels: 2, dilations: [1] })
const file = join(folder, 'model.safetensors')
const metadata = modelMetadata(StudySchema.parse({ model: spec }), 1)
writeFileSync(file, encodeModel(modelLayout(spec), initializeModel(spec, 1), metadata))

test('a name of a folder is refused before anything is written', async () => {
  const out = join(folder, 'folders')
  mkdirSync(join(out, 'there'), { recursive: true })
  for (const format of ['brainchop', 'pth'] as const) {
    for (const name of ['there', 'there/', 'new/']) {
      await expect(exportModel(file, { format, out: join(out, name), force: true })).rejects.toMatchObject({
        code: 'PATH_NOT_WRITABLE',
      })
    }
  }
  expect(readdirSync(out)).toEqual(['there'])
})

test('where model.json cannot be written, weights that were there stay as they were, and new ones do not stay behind', async () => {
  const out = join(folder, 'long')
  mkdirSync(out)
  // A name of 256 bytes, one more than file systems allow; that of the weights is one shorter.
  const name = `${'n'.repeat(251)}.json`
  await expect(exportModel(file, { format: 'brainchop', out: join(out, name) })).rejects.toMatchObject({
    code: 'PATH_NOT_WRITABLE',
  })
  expect(readdirSync(out)).toEqual([])
  const weights = join(out, `${'n'.repeat(251)}.bin`)
  writeFileSync(weights, 'of before')
  await expect(exportModel(file, { format: 'brainchop', out: join(out, name), force: true })).rejects.toMatchObject({
    code: 'PATH_NOT_WRITABLE',
  })
  expect(readFileSync(weights, 'utf8')).toBe('of before')
  expect(readdirSync(out)).toHaveLength(1)
})
