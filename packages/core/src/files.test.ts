import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  giveFolderToOwner,
  makeFolder,
  removeTemporaryFiles,
  TEMPORARY_PREFIX,
  writeFileAtomic,
  writePairAtomic,
} from './files.js'

const folder = (): string => mkdtempSync(join(tmpdir(), 'meshfl-core-'))

test('a file is replaced whole and leaves no temporary name behind', async () => {
  const root = folder()
  await writeFileAtomic(join(root, 'deep/er/a.txt'), 'one')
  await writeFileAtomic(join(root, 'deep/er/a.txt'), 'two')
  expect(readFileSync(join(root, 'deep/er/a.txt'), 'utf8')).toBe('two')
  expect(readdirSync(join(root, 'deep/er'))).toEqual(['a.txt'])
})

test.skipIf(process.getuid?.() !== 0)(
  'what root writes into a folder of another account belongs to that account (runs as root only)',
  async () => {
    const root = folder()
    chownSync(root, 65534, 65534)
    await writeFileAtomic(join(root, 'deep/a.txt'), 'one')
    for (const path of ['deep', 'deep/a.txt'])
      expect(statSync(join(root, path))).toMatchObject({ uid: 65534, gid: 65534 })
  },
)

test.skipIf(process.getuid?.() !== 0)(
  'what another account has put in the place of root’s new folder is not given to it (runs as root only)',
  () => {
    const root = folder()
    const secret = join(root, 'secret')
    mkdirSync(secret, { mode: 0o700 })
    const theirs = join(root, 'theirs')
    mkdirSync(theirs)
    chownSync(theirs, 65534, 65534)
    symlinkSync(secret, join(theirs, 'control'))
    writeFileSync(join(theirs, 'file'), 'root’s')
    for (const name of ['control', 'file']) giveFolderToOwner(join(theirs, name))
    expect([statSync(secret).uid, statSync(join(theirs, 'file')).uid]).toEqual([0, 0])
  },
)

/** Two files of one content, the second of which names the first. */
const pair = (root: string, data: string, naming = 'naming') =>
  [
    { path: join(root, 'named'), data },
    { path: join(root, naming), data },
  ] as const

test('of two files that belong together nobody ever sees one of them with another’s', async () => {
  const root = folder()
  let isDone = false
  const written = (async () => {
    for (let i = 0; i < 30; i++) await writePairAtomic(...pair(root, `${i}`))
  })().finally(() => {
    isDone = true
  })
  const read = (name: string): string | undefined => {
    try {
      return readFileSync(join(root, name), 'utf8')
    } catch {
      return undefined
    }
  }
  const mixtures: unknown[] = []
  while (!isDone) {
    const [naming, named] = [read('naming'), read('named')]
    if (naming !== undefined && naming !== named) mixtures.push([naming, named])
    await new Promise((resolve) => setImmediate(resolve))
  }
  await written
  expect(mixtures).toEqual([])
  expect([read('naming'), read('named')]).toEqual(['29', '29'])
  expect(readdirSync(root).sort()).toEqual(['named', 'naming'])
})

test('where the first of two files cannot be replaced, the second stays as it was', async () => {
  const root = folder()
  await writePairAtomic(...pair(root, 'old'))
  rmSync(join(root, 'named'))
  mkdirSync(join(root, 'named'))
  await expect(writePairAtomic(...pair(root, 'new'))).rejects.toMatchObject({ code: 'PATH_NOT_WRITABLE' })
  expect(readFileSync(join(root, 'naming'), 'utf8')).toBe('old')
  expect(readdirSync(root).sort()).toEqual(['named', 'naming'])
})

test('where the second of two files cannot be written, the first stays as it was', async () => {
  const root = folder()
  await writePairAtomic(...pair(root, 'old'))
  mkdirSync(join(root, 'folder'))
  for (const naming of ['folder', 'named/below', 'n'.repeat(256)])
    await expect(writePairAtomic(...pair(root, 'new', naming))).rejects.toMatchObject({ code: 'PATH_NOT_WRITABLE' })
  expect(readFileSync(join(root, 'named'), 'utf8')).toBe('old')
  expect(readdirSync(root).sort()).toEqual(['folder', 'named', 'naming'])
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

test('a file may have as long a name as the file system takes, and one that is longer is told as such', async () => {
  const root = folder()
  const longest = `${'n'.repeat(251)}.txt`
  await writeFileAtomic(join(root, longest), 'x')
  expect(readdirSync(root)).toEqual([longest])
  const error = { code: 'PATH_NOT_WRITABLE', kind: 'usage', message: expect.stringContaining('too long') }
  await expect(writeFileAtomic(join(root, `n${longest}`), 'x')).rejects.toMatchObject(error)
  expect(readdirSync(root)).toEqual([longest])
})

test('what a crash left is swept, and nothing else', async () => {
  const root = folder()
  // As this version names them, and as those before did.
  for (const name of ['0123456789ab', '0123456789ab-best.safetensors'])
    writeFileSync(join(root, `${TEMPORARY_PREFIX}${name}`), 'half of it')
  writeFileSync(join(root, 'best.safetensors'), 'whole')
  await removeTemporaryFiles(root)
  expect(readdirSync(root)).toEqual(['best.safetensors'])
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
