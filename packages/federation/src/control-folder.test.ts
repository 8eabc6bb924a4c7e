import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ControlFolder } from './control-folder.js'

const LIST = { action: 'list' } as const
const NOTHING = { sites: [], invites: [] }

function run(): { run: string; folder: string; control: ControlFolder } {
  const run = mkdtempSync(join(tmpdir(), 'meshfl-control-'))
  return { run, folder: join(run, 'control'), control: new ControlFolder(run) }
}

test('a folder that was made beforehand, for everybody, is closed to others', () => {
  const { folder, control } = run()
  mkdirSync(folder)
  chmodSync(folder, 0o777)
  control.prepare()
  expect(statSync(folder).mode & 0o777).toBe(0o700)
})

test('a link in the folder’s place is refused, and where it leads nothing is changed', () => {
  const { run: here, folder, control } = run()
  const elsewhere = join(here, 'elsewhere')
  mkdirSync(elsewhere)
  chmodSync(elsewhere, 0o755)
  symlinkSync(elsewhere, folder)
  expect(() => control.prepare()).toThrow(expect.objectContaining({ code: 'CONTROL_FOLDER_UNSAFE' }))
  expect(statSync(elsewhere).mode & 0o777).toBe(0o755)
})

test.skipIf(process.getuid?.() !== 0)('a folder of another account is refused (runs as root only)', () => {
  const { folder, control } = run()
  mkdirSync(folder)
  chownSync(folder, 65534, 65534)
  expect(() => control.prepare()).toThrow(expect.objectContaining({ code: 'CONTROL_FOLDER_UNSAFE' }))
})

test('a request that breaks something is answered with a code, and so are those behind it', async () => {
  const { folder, control } = run()
  const ids = [await control.ask(LIST), await control.ask(LIST)].sort()
  const problems: string[] = []
  const handle = async (_: unknown, id: string) => {
    if (id === ids[0]) throw new RangeError('Invalid time value')
    return NOTHING
  }
  await control.answerAll(handle, (words) => problems.push(words))
  await expect(control.takeAnswer(ids[0]!)).rejects.toMatchObject({ code: 'SITES_REQUEST_FAILED' })
  expect(await control.takeAnswer(ids[1]!)).toEqual(NOTHING)
  expect(problems).toEqual([expect.stringContaining('Invalid time value')])
  expect(readdirSync(folder)).toEqual([])
})

test('a link or a folder that is called like a request is removed and not read', async () => {
  const { run: here, folder, control } = run()
  control.prepare()
  const outside = join(here, 'outside')
  writeFileSync(outside, JSON.stringify(LIST))
  symlinkSync(outside, join(folder, `${'a'.repeat(16)}.request`))
  mkdirSync(join(folder, `${'b'.repeat(16)}.request`, 'something'), { recursive: true })
  const problems: string[] = []
  await control.answerAll(
    async () => {
      throw new Error('nobody asked')
    },
    (words) => problems.push(words),
  )
  expect(problems).toHaveLength(2)
  expect(problems.join()).toMatch(/it is no file/)
  expect(readdirSync(folder)).toEqual([])
  expect(statSync(outside).isFile()).toBe(true)
})
