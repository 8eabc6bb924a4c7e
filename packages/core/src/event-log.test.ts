import { appendFileSync, mkdtempSync, readFileSync } from 'node:fs'
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
