import { constants } from 'node:buffer'
import { appendFileSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openEventLog, readEventLog } from './event-log.js'
import { now } from './events.js'

test('a line that a crash cut short is dropped and the log goes on', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'meshfl-log-')), 'events.jsonl')
  const first = openEventLog(path)
  first.write({ type: 'log', time: now(), level: 'info', message: 'one' })
  first.close()
  appendFileSync(path, '{"type":"log","ti')
  const second = openEventLog(path)
  second.write({ type: 'log', time: now(), level: 'info', message: 'two' })
  second.close()
  expect(readEventLog(path).map((event) => (event.type === 'log' ? event.message : event.type))).toEqual(['one', 'two'])
  expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(3)
})

test('a log that is longer than a string can be is read and goes on, as that of a thousand sites may get', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'meshfl-log-')), 'events.jsonl')
  try {
    const lineOf = (message: string): string =>
      `${JSON.stringify({ type: 'log', time: now(), level: 'info', message })}\n`
    const file = openSync(path, 'w')
    const padding = Buffer.alloc(8 << 20, ' ')
    padding[padding.length - 1] = 0x0a
    writeSync(file, lineOf('first'))
    for (let bytes = 0; bytes <= constants.MAX_STRING_LENGTH; bytes += padding.length) writeSync(file, padding)
    closeSync(file)
    const log = openEventLog(path)
    log.write({ type: 'log', time: now(), level: 'info', message: 'last' })
    log.close()
    expect(statSync(path).size).toBeGreaterThan(constants.MAX_STRING_LENGTH)
    expect(readEventLog(path)).toMatchObject([{ message: 'first' }, { message: 'last' }])
  } finally {
    rmSync(path)
  }
})

test('a line longer than what is read at once is whole, and is dropped where a crash cut it short', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'meshfl-log-')), 'events.jsonl')
  const message = 'é'.repeat(3 << 20)
  const log = openEventLog(path)
  log.write({ type: 'log', time: now(), level: 'info', message })
  log.close()
  const whole = statSync(path).size
  expect(readEventLog(path)).toMatchObject([{ message }])
  appendFileSync(path, `{"type":"log","message":"${message}`)
  openEventLog(path).close()
  expect(statSync(path).size).toBe(whole)
})

// A process may write the map of its user ids once, which has happened where it begins: EPERM from a file that is open.
test.skipIf(process.platform !== 'linux')(
  'a log that cannot be written just now ends nothing, and says so when it is closed (skipped where there is no /proc)',
  async () => {
    const log = openEventLog('/proc/self/uid_map')
    for (const message of ['one', 'two']) {
      log.write({ type: 'log', time: now(), level: 'info', message })
      await Promise.resolve()
    }
    expect(() => log.close()).toThrow(expect.objectContaining({ code: 'PATH_NOT_WRITABLE' }))
  },
)
