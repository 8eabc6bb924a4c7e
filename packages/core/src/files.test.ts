import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { getSystemErrorMap } from 'node:util'
import { expect, test } from 'vitest'
import { explainWriteError, makeFolder, mayPass, writeFileAtomic } from './files.js'

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

test('folders are made with those above them, also when they are there already', () => {
  const path = join(folder(), 'a', 'b', 'c')
  makeFolder(path)
  makeFolder(path)
  expect(readdirSync(join(path, '..'))).toEqual(['c'])
})

test.skipIf(process.platform !== 'linux')('a file system that takes no new folder is named at once', async () => {
  // Node's recursive mkdir loops for ever here.
  await expect(writeFileAtomic('/proc/no-such/below/a', 'x')).rejects.toMatchObject({ code: 'PATH_NOT_WRITABLE' })
})

test('a full disk is told as such', () => {
  expect(explainWriteError(Object.assign(new Error(), { code: 'ENOSPC' }), 'a')).toMatchObject({
    code: 'DISK_FULL',
    exitCode: 3,
  })
})

test.each([
  ['EDQUOT', 'DISK_FULL'],
  ['EMFILE', 'OPEN_FILES_USED_UP'],
  ['ENFILE', 'OPEN_FILES_USED_UP'],
  ['ESTALE', 'FILE_SERVER_AWAY'],
  ['ETIMEDOUT', 'FILE_SERVER_AWAY'],
] as const)('%s is %s, which may pass', (name, code) => {
  const errno = -constants.errno[name]
  // As Node makes it: where libuv has no name for it, the code holds none.
  const known = getSystemErrorMap().get(errno)?.[0] ?? `Unknown system error ${errno}`
  const explained = explainWriteError(Object.assign(new Error(known), { code: known, errno }), 'a')
  expect(explained).toMatchObject({ code, exitCode: 3 })
  expect(mayPass(explained)).toBe(true)
})

test('what will not be otherwise later is no error that may pass', () => {
  const broken = Object.assign(new Error('EIO'), { code: 'EIO', errno: -constants.errno.EIO })
  expect(explainWriteError(broken, 'a')).toBe(broken)
  expect(mayPass(broken)).toBe(false)
})
