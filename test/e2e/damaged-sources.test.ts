import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeNifti } from '@meshfl/volume'
import { beforeEach, expect, test } from 'vitest'
import { cli, root, startCli, temporaryFolder } from './cli.js'
import { makeSource } from './made-brains.js'

const SPLIT = ['--shape', '16', '--voxel-size', '12', '--json']
let source: string
let out: string

beforeEach(async () => {
  source = await makeSource(6)
  out = join(temporaryFolder('split'), 'dataset')
})

const scans = (): string[] => readdirSync(join(source, 'images')).sort()

test('a truncated scan is left out and named, the others are prepared, and the exit code is 3', async () => {
  const first = join(source, 'images', scans()[0]!)
  writeFileSync(first, readFileSync(first).subarray(0, 500))
  const result = await cli(['split', source, '--out', out, ...SPLIT])
  expect(result.code).toBe(3)
  expect(result.last).toMatchObject({ type: 'dataset', cases: 5, leftOut: ['sub-01'] })
  expect(result.stdout).toContain('VOLUME_')
  const allowed = await cli(['split', source, '--out', `${out}-2`, ...SPLIT, '--allow-skipped'])
  expect(allowed.code).toBe(0)
})

test('a label on another grid than its image is left out and both grids are shown', async () => {
  const [first] = scans()
  // Half a metre away from its image: whichever affine is right, the two are not of one head.
  const affine = [-12, 0, 0, 500, 0, 0, 12, 500, 0, -12, 0, 500, 0, 0, 0, 1]
  const elsewhere = await encodeNifti(
    { shape: [20, 16, 16], affine, voxels: new Uint8Array(20 * 16 * 16).fill(1) },
    { gzip: true },
  )
  writeFileSync(join(source, 'labels', first!), elsewhere)
  const result = await cli(['split', source, '--out', out, ...SPLIT])
  const told = result.events.filter((event) => event.type === 'log' && event.level === 'error')
  expect(result.code).toBe(3)
  expect(JSON.stringify(told)).toMatch(/LABEL_GRID_MISMATCH/)
  expect(JSON.stringify(told)).toMatch(/20 ?x ?16 ?x ?16/)
})

test('a full disk is told as such, and nothing half-written is left', async (context) => {
  // A file system of 24 kB in a namespace of its own: a real ENOSPC, without root where the kernel allows it.
  const folder = temporaryFolder('disk')
  mkdirSync(join(folder, 'disk'))
  const inside = (command: string): string[] => [
    '-rm',
    'sh',
    '-c',
    `mount -t tmpfs -o size=24k none ${folder}/disk && ${command}`,
  ]
  try {
    execFileSync('unshare', inside('true'), { stdio: 'pipe' })
  } catch (error) {
    context.skip(`no mount namespace here: ${String((error as { stderr?: Buffer }).stderr ?? error).trim()}`)
  }
  const command = `"${process.execPath}" "${join(root, 'cli/dist/bin.js')}" split "${source}" --out ${folder}/disk/dataset ${SPLIT.join(' ')}; echo "exit $?"; find ${folder}/disk -type f`
  const printed = execFileSync('unshare', inside(command), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  expect(printed).toContain('"code":"DISK_FULL"')
  expect(printed).toContain('exit 3')
  expect(printed).not.toContain('dataset.json')
  expect(printed).not.toContain('.meshfl-tmp-')
})

test('two subjects with the same scan are refused: they could be on both sides of the split', async () => {
  const [first, second] = scans() as [string, string]
  for (const folder of ['images', 'labels'])
    writeFileSync(join(source, folder, second), readFileSync(join(source, folder, first)))
  const result = await cli(['split', source, '--out', out, ...SPLIT])
  expect(result.code).toBe(3)
  expect(result.last).toMatchObject({ type: 'error', code: 'DATASET_DUPLICATE' })
  expect(existsSync(join(out, 'dataset.json'))).toBe(false)
})

test('a dry run shows which case goes where, from which files, and writes nothing', async () => {
  const { code, stdout } = await cli(['split', source, '--out', out, '--sites', '2', '--dry-run'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^train {2}site-[12] {2}sub-0\d {2}images\/sub-0\d\.nii\.gz {2}labels\/sub-0\d\.nii\.gz$/m)
  expect(existsSync(out)).toBe(false)
})

test('what was left out is said last, with the mend and the exit code', async () => {
  const first = join(source, 'images', scans()[0]!)
  writeFileSync(first, readFileSync(first).subarray(0, 500))
  const { code, stdout } = await cli(['split', source, '--out', out, ...SPLIT.slice(0, 4)])
  expect(code).toBe(3)
  expect(stdout).toMatch(/1 left out: sub-01 \(so the exit code is 3.*\n {2}hint: /)
})

test.skipIf(process.platform === 'win32')(
  'a second command in the same folder is refused while the first works, and not when the first was killed',
  async () => {
    const args = ['split', source, '--out', out, ...SPLIT]
    for (const end of ['SIGCONT', 'SIGKILL'] as const) {
      const first = startCli(args)
      await first.waitFor((event) => event.type === 'progress' && event.task === 'conform')
      first.child.kill('SIGSTOP')
      const second = await cli(args)
      expect(second.code).toBe(3)
      expect(second.last).toMatchObject({ type: 'error', code: 'RUN_LOCKED', message: expect.stringContaining(out) })
      first.child.kill(end)
      expect((await first.ended).code).toBe(end === 'SIGCONT' ? 0 : null)
      const third = await cli(args)
      expect([third.code, third.last]).toMatchObject([0, { type: 'dataset', cases: 6 }])
      expect(readdirSync(out).filter((name) => name.startsWith('.'))).toEqual([])
      rmSync(out, { recursive: true })
    }
  },
)
