import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { lockFolder } from './folder-lock.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-lock-'))
afterEach(() => rmSync(join(folder, '.lock'), { force: true }))

test('a folder has one owner at a time', () => {
  const lock = lockFolder(folder)
  expect(() => lockFolder(folder)).toThrow(expect.objectContaining({ code: 'RUN_LOCKED' }))
  lock.release()
  lock.release()
  lockFolder(folder).release()
  expect(existsSync(join(folder, '.lock'))).toBe(false)
})

test.each([
  ['that a killed process left', () => ({ pid: spawnSync(process.execPath, ['-e', '']).pid, started: '1' })],
  ['whose process number was given to another', () => ({ pid: process.ppid, started: '1' })],
  ['of an earlier process with our number', () => ({ pid: process.pid, started: '1' })],
])('a lock %s does not count', (_, owner) => {
  writeFileSync(join(folder, '.lock'), JSON.stringify(owner()))
  lockFolder(folder).release()
})

test('a lock that was cut short does not count', () => {
  writeFileSync(join(folder, '.lock'), '{"pi')
  lockFolder(folder).release()
})

test('a living process keeps its lock', () => {
  writeFileSync(join(folder, '.lock'), JSON.stringify({ pid: process.ppid, started: null }))
  expect(() => lockFolder(folder)).toThrow(expect.objectContaining({ code: 'RUN_LOCKED' }))
})
