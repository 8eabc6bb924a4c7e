import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { expect, test } from 'vitest'
import { readYamlFile } from './read-yaml-file.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-yaml-'))
const read = (path: string) => readYamlFile(path, 'study', (why) => new MeshflError('STUDY_INVALID', why))

test('a file that is not there, and one that cannot be read, are told apart', async () => {
  const hint = 'check the path of the study'
  await expect(read(join(folder, 'none.yaml'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND', hint })
  await expect(read(folder)).rejects.toMatchObject({ code: 'FILE_NOT_READABLE', hint: 'give a file, not a folder' })
  writeFileSync(join(folder, 'file'), '')
  await expect(read(join(folder, 'file', 'study.yaml'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
})

test('what is no YAML is refused as its reader says', async () => {
  writeFileSync(join(folder, 'a.yaml'), 'a: [1')
  await expect(read(join(folder, 'a.yaml'))).rejects.toMatchObject({ code: 'STUDY_INVALID' })
  writeFileSync(join(folder, 'b.yaml'), 'a: [1]')
  expect(await read(join(folder, 'b.yaml'))).toEqual({ a: [1] })
})
