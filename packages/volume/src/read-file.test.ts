import { constants } from 'node:os'
import { mayPass } from '@meshfl/core'
import { expect, test } from 'vitest'
import { explainReadError } from './read-file.js'

test.each([
  ['ESTALE', 'FILE_SERVER_AWAY'],
  ['ETIMEDOUT', 'FILE_SERVER_AWAY'],
  ['EMFILE', 'OPEN_FILES_USED_UP'],
  ['ENFILE', 'OPEN_FILES_USED_UP'],
] as const)('%s says nothing about a file: it is %s, which may pass', (name, code) => {
  const errno = -constants.errno[name]
  // As Node makes it: libuv has no name for ESTALE.
  const known = name === 'ESTALE' ? `Unknown system error ${errno}` : name
  const explained = explainReadError(Object.assign(new Error(known), { code: known, errno }), 'scan.nii.gz')
  expect(explained).toMatchObject({ code, exitCode: 3, message: expect.stringContaining(`scan.nii.gz`) })
  expect((explained as Error).message).not.toContain('write')
  expect(mayPass(explained)).toBe(true)
})

test('a file on a broken disk is an error of that file', () => {
  const explained = explainReadError(Object.assign(new Error('EIO'), { code: 'EIO', errno: -5 }), 'scan.nii.gz')
  expect(explained).toMatchObject({ code: 'FILE_NOT_READABLE', message: 'cannot read scan.nii.gz (EIO)' })
  expect(mayPass(explained)).toBe(false)
})
