import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeEach, expect, test } from 'vitest'
import { fileStamp } from './file-stamp.js'
import { createTurns, keptReadings } from './kept-readings.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-kept-'))
const always = () => true
let reads: string[] = []

beforeEach(() => {
  reads = []
})

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

const readerOf = (most: number) =>
  keptReadings(most, createTurns(), async (path) => {
    reads.push(path)
    return readFile(path, 'utf8')
  })

test('a file that was asked for twice is read once', async () => {
  const path = file('once', 'a')
  const read = readerOf(2)
  expect(await Promise.all([read(path, always), read(path, always)])).toEqual(['a', 'a'])
  expect(await read(path, always)).toBe('a')
  expect(reads).toHaveLength(1)
})

test('a file that was written anew is read anew', async () => {
  const path = file('anew', 'a')
  const read = readerOf(2)
  expect(await read(path, always)).toBe('a')
  file('anew', 'longer')
  expect(await read(path, always)).toBe('longer')
})

test('a pair is read anew when its voxels were written anew, whichever of its files was named', async () => {
  const [header] = [file('pair.hdr', 'h'), file('pair.img', 'i')]
  const read = readerOf(2)
  await read(header, always)
  file('pair.img', 'more')
  await read(header, always)
  expect(reads).toHaveLength(2)
})

test('what nobody waits for when its turn comes is not read, until it is asked for again', async () => {
  const [first, second] = [file('first', '1'), file('second', '2')]
  const read = readerOf(2)
  const [one, gone] = [read(first, always), read(second, () => false)]
  expect(await one).toBe('1')
  await expect(gone).rejects.toThrow('nobody waits')
  expect(reads).toEqual([first])
  expect(await read(second, always)).toBe('2')
})

test('one file is read at a time, and one that cannot be read does not keep the next from it', async () => {
  let [running, most] = [0, 0]
  const read = keptReadings(4, createTurns(), async (path) => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, 5))
    running--
    if (path.endsWith('bad')) throw new Error('bad')
    return path
  })
  const asked = ['1', 'bad', '3'].map((name) => read(file(name, name), always))
  expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(most).toBe(1)
})

test('no more are kept than was said', async () => {
  const read = readerOf(1)
  const [a, b] = [file('a', 'a'), file('b', 'b')]
  for (const path of [a, b, a]) await read(path, always)
  expect(reads).toEqual([a, b, a])
})

test('what changes while it is read is read again; what goes on changing is refused, and read when it is asked for anew', async () => {
  const path = file('changing', 'old')
  let changes = 1
  const read = keptReadings(2, createTurns(), async (path, stamp) => {
    reads.push(path)
    const text = readFileSync(path, 'utf8')
    if (changes-- > 0) file('changing', `${text}er`)
    return { text, stamp }
  })
  expect(await read(path, always)).toEqual({ text: 'older', stamp: await fileStamp(path) })
  expect(await read(path, always)).toMatchObject({ text: 'older' })
  expect(reads).toHaveLength(2)
  changes = 2
  file('changing', 'new')
  await expect(read(path, always)).rejects.toMatchObject({ code: 'FILE_CHANGES' })
  expect(await read(path, always)).toMatchObject({ text: 'newerer' })
})

test('a file that was half written when it was read is read again', async () => {
  const path = file('half', 'h')
  const read = keptReadings(2, createTurns(), async (path) => {
    const text = await readFile(path, 'utf8')
    if (text === 'whole') return text
    file('half', 'whole')
    throw new Error('half')
  })
  expect(await read(path, always)).toBe('whole')
})

test('a reading that is kept holds on to nobody who asked for it', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const path = file('held', 'a')
  const read = readerOf(2)
  const asked: WeakRef<object>[] = []
  const ask = async (): Promise<void> => {
    const response = {}
    asked.push(new WeakRef(response))
    await read(path, () => response !== undefined)
  }
  await Promise.all([ask(), ask()])
  await ask()
  await new Promise((resolve) => setTimeout(resolve, 20))
  collect()
  expect(asked.filter((each) => each.deref() !== undefined)).toEqual([])
  expect(reads).toHaveLength(1)
})
