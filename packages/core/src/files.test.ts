import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { explainWriteError, writeFileAtomic } from './files.js'

const folder = (): string => mkdtempSync(join(tmpdir(), 'meshfl-core-'))

test('a file is replaced whole and leaves no temporary name behind', async () => {
  const root = folder()
  await writeFileAtomic(join(root, 'deep/er/a.txt'), 'one')
  await writeFileAtomic(join(root, 'deep/er/a.txt'), 'two')
  expect(readFileSync(join(root, 'deep/er/a.txt'), 'utf8')).toBe('two')
  expect(readdirSync(join(root, 'deep/er'))).toEqual(['a.txt'])
})

test('a place that cannot be written is named', async () => {
  const root = folder()
  writeFileSync(join(root, 'file'), '')
  await expect(writeFileAtomic(join(root, 'file/below'), 'x')).rejects.toMatchObject({ code: 'PATH_NOT_WRITABLE' })
  mkdirSync(join(root, 'readonly'))
  chmodSync(join(root, 'readonly'), 0o500)
  if (process.getuid?.() !== 0) {
    await expect(writeFileAtomic(join(root, 'readonly/a'), 'x')).rejects.toMatchObject({ code: 'PATH_NOT_WRITABLE' })
  }
})

test('a full disk is told as such', () => {
  expect(explainWriteError(Object.assign(new Error(), { code: 'ENOSPC' }), 'a')).toMatchObject({
    code: 'DISK_FULL',
    exitCode: 3,
  })
})
