import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'
import { expect, test } from 'vitest'
import { explainReadError, explainWriteError, mayPass } from './file-errors.js'

/** As Node makes it: where libuv has no name for it, the code holds none. */
function systemError(name: keyof typeof constants.errno | 'EHOSTDOWN'): Error {
  if (name === 'EHOSTDOWN') return Object.assign(new Error(name), { code: name }) // Node has no number for it
  const errno = -constants.errno[name]
  const code = getSystemErrorMap().get(errno)?.[0] ?? `Unknown system error ${errno}`
  return Object.assign(new Error(code), { code, errno })
}

test('a full disk is told as such', () => {
  expect(explainWriteError(Object.assign(new Error(), { code: 'ENOSPC' }), 'a')).toMatchObject({
    code: 'DISK_FULL',
    exitCode: 3,
  })
})

test('a name that is too long is for its writer to shorten, and does not pass by itself', () => {
  const explained = explainWriteError(systemError('ENAMETOOLONG'), 'a')
  expect(explained).toMatchObject({ code: 'PATH_NOT_WRITABLE', kind: 'usage', exitCode: 2 })
  expect(mayPass(explained)).toBe(false)
})

const OUT_OF_REACH = [
  ['EMFILE', 'OPEN_FILES_USED_UP'],
  ['ENFILE', 'OPEN_FILES_USED_UP'],
  ['ESTALE', 'FILE_SERVER_AWAY'],
  ['ETIMEDOUT', 'FILE_SERVER_AWAY'],
  ['ENOTCONN', 'FILE_SERVER_AWAY'],
  ['EHOSTDOWN', 'FILE_SERVER_AWAY'],
  ['EHOSTUNREACH', 'FILE_SERVER_AWAY'],
] as const

test.each([['EDQUOT', 'DISK_FULL'], ...OUT_OF_REACH] as const)('%s is %s, which may pass', (name, code) => {
  const explained = explainWriteError(systemError(name), 'a')
  expect(explained).toMatchObject({ code, exitCode: 3 })
  expect(mayPass(explained)).toBe(true)
})

test('what will not be otherwise later is no error that may pass', () => {
  const broken = Object.assign(new Error('EIO'), { code: 'EIO', errno: -constants.errno.EIO })
  expect(explainWriteError(broken, 'a')).toBe(broken)
  expect(mayPass(broken)).toBe(false)
})

test.each(OUT_OF_REACH)('%s says nothing about a file to be read: it is %s, which may pass', (name, code) => {
  const explained = explainReadError(systemError(name), 'scan.nii.gz')
  expect(explained).toMatchObject({ code, exitCode: 3, message: expect.stringContaining('scan.nii.gz') })
  expect((explained as Error).message).not.toContain('write')
  expect(mayPass(explained)).toBe(true)
})

test('a file on a broken disk is an error of that file', () => {
  const explained = explainReadError(systemError('EIO'), 'scan.nii.gz')
  expect(explained).toMatchObject({ code: 'FILE_NOT_READABLE', message: 'cannot read scan.nii.gz (EIO)' })
  expect(mayPass(explained)).toBe(false)
})
