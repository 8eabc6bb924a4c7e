import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DurableLog } from './durable-log.js'
import type { LogRecord, NewRecord } from './log-segment.js'
import { SILENT } from './loopback.fixture.js'
import { PatientWrites } from './patient-writes.js'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'meshfl-log-'))
  path = join(folder, 'state', 'log')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const open = (): ReturnType<typeof DurableLog.open> =>
  DurableLog.open(path, { patience: new PatientWrites(SILENT), growthBytes: 1 << 16 })
/** In two parts, as a header and a model are. */
const text = (content: string, kind = 1): NewRecord => {
  const half = Math.floor(content.length / 2)
  return { kind, parts: [Buffer.from(content.slice(0, half)), Buffer.from(content.slice(half))] }
}
const texts = (records: readonly LogRecord[]): string[] => records.map(({ bytes }) => Buffer.from(bytes).toString())

async function readBack(): Promise<string[]> {
  const { log, records } = await open()
  await log.close()
  return texts(records)
}

async function write(first: readonly string[], ...more: readonly string[][]): Promise<void> {
  const { log } = await open()
  await log.restart(first.map((content) => text(content)))
  for (const batch of more) await Promise.all(batch.map((content) => log.append(text(content))))
  await log.close()
}

test('a log that was never written is empty, and its files are the owner’s alone', async () => {
  expect(await readBack()).toEqual([])
  await write(['one'])
  expect(statSync(`${path}.a`).mode & 0o777).toBe(0o600)
})

test('a file grows by whole steps, and what follows a batch in it is zeros', async () => {
  const { log } = await open()
  await log.restart([text('one')])
  for (let i = 0; i < 5; i++) await log.append(text('x'.repeat(30_000)))
  const end = log.bytes
  await log.close()
  const file = readFileSync(`${path}.a`)
  expect(file.length).toBe(Math.ceil(end / (1 << 16)) * (1 << 16))
  expect(file.subarray(end).every((byte) => byte === 0)).toBe(true)
  expect(file.subarray(0, end).includes('x'.repeat(30_000))).toBe(true)
})

test('what was appended is read back in its order, whatever its sizes', async () => {
  const contents = fc.array(fc.array(fc.string({ maxLength: 9000 }), { minLength: 1, maxLength: 5 }), { maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ maxLength: 9000 }), { minLength: 1, maxLength: 3 }),
      contents,
      async (first, more) => {
        await write(first, ...more)
        expect(await readBack()).toEqual([...first, ...more.flat()])
      },
    ),
    { seed: 5, numRuns: 40 },
  )
})

test('a log that begins anew forgets what came before, and grows beyond what was set aside for it', async () => {
  const { log } = await open()
  await log.restart([text('old')])
  const large = 'x'.repeat(700_000)
  await Promise.all([log.append(text(large)), log.append(text(`${large}y`))])
  await log.restart([text('new')])
  await log.append(text('newer'))
  await log.close()
  expect(await readBack()).toEqual(['new', 'newer'])
})

test('of many records that come at once the first are on the disk before the last are written', async () => {
  const { log } = await open()
  await log.restart([text('one')])
  const large = Array.from({ length: 6 }, (_, i) => `${i}`.repeat(3 << 20))
  const ends: number[] = []
  await Promise.all(large.map((content) => log.append(text(content)).then(() => ends.push(log.bytes))))
  await log.close()
  expect(ends).toEqual([...ends].sort((a, b) => a - b))
  expect(ends[0]).toBeLessThan(ends.at(-1)! / 1.5)
  expect(await readBack()).toEqual(['one', ...large])
})

test('a log cut or spoiled at any byte gives a prefix of what was written, never anything else', async () => {
  await write(['one', 'two'], ['three'], ['four', 'five'])
  const whole = readFileSync(`${path}.a`)
  const all = await readBack()
  const used = 3 * 4096
  for (let at = 0; at < used; at += 61) {
    const spoiled = Buffer.from(whole)
    spoiled[at]! ^= 0x55
    writeFileSync(`${path}.a`, spoiled)
    const found = await readBack()
    expect(found).toEqual(all.slice(0, found.length))
    if (at > 2 * 4096 + 200) expect(found).toEqual(all)
    else if (at > 4096 + 64) expect(found.length).toBeGreaterThanOrEqual(2)
  }
})

test('a restart that a power cut tore leaves the log as it was before', async () => {
  await write(['one'], ['two'])
  const { log } = await open()
  await log.restart([text('three'), text('four')])
  await log.close()
  const torn = readFileSync(`${path}.b`)
  torn[64 + 56]! ^= 1 // in the second record
  writeFileSync(`${path}.b`, torn)
  expect(await readBack()).toEqual(['one', 'two'])
})

test('a log that keeps the last gives what it held before it last began anew, and the first restart takes none of it', async () => {
  const openKeeping = () =>
    DurableLog.open(path, { patience: new PatientWrites(SILENT), growthBytes: 1 << 16, keepsLast: true })
  const { log, before: none } = await openKeeping()
  expect(none).toEqual([])
  await log.restart([text('one')])
  await log.append(text('two'))
  await log.restart([text('three')])
  await log.append(text('four'))
  await log.restart([text('five'), text('six')])
  await log.close()
  const whole = await openKeeping()
  await whole.log.close()
  expect([texts(whole.before), texts(whole.records)]).toEqual([
    ['three', 'four'],
    ['five', 'six'],
  ])
  const files = [readFileSync(`${path}.a`), readFileSync(`${path}.b`)]
  const again = await openKeeping()
  await again.log.restart([text('seven'), text('eight')])
  await again.log.close()
  expect([readFileSync(`${path}.a`), readFileSync(`${path}.b`)]).toEqual(files)
  const torn = readFileSync(`${path}.c`)
  torn[64 + 56]! ^= 1 // in the second record
  writeFileSync(`${path}.c`, torn)
  const { log: last, records, before } = await openKeeping()
  await last.close()
  expect([texts(before), texts(records)]).toEqual([
    ['three', 'four'],
    ['five', 'six'],
  ])
})

test('what a former use of a file left behind never follows what is written now', async () => {
  await write(['a1'], ['a2'], ['a3'])
  await write(['b1'])
  await write(['a1']) // the first file again: the blocks of a2 and a3 are still there
  expect(await readBack()).toEqual(['a1'])
})
