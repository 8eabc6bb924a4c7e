import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { lockFolder } from './folder-lock.js'
import { ownProcess } from './lock-owner.js'

const disk = vi.hoisted(() => ({ hasLinks: true, isFull: false }))

vi.mock('node:fs', async (load) => {
  const real = await load<typeof import('node:fs')>()
  const linkSync: typeof real.linkSync = (from, to) => {
    if (disk.hasLinks) real.linkSync(from, to)
    else throw Object.assign(new Error('EPERM: operation not permitted, link'), { code: 'EPERM', syscall: 'link' })
  }
  const write = real.writeFileSync
  const writeFileSync: typeof write = (path, data, options) => {
    write(path, disk.isFull ? '' : data, options)
    if (disk.isFull) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  }
  return { ...real, linkSync, writeFileSync }
})

const SOON = { timeout: 10_000, interval: 5 }

const folder = mkdtempSync(join(tmpdir(), 'meshfl-lock-'))
const path = join(folder, '.lock')
let touching: NodeJS.Timeout | undefined
afterEach(() => {
  clearInterval(touching)
  rmSync(path, { force: true })
  disk.hasLinks = true
})

/** What a lock names when it is not of this machine and container. */
const ELSEWHERE = [
  ['another machine', { host: 'node2', space: 'another boot' }],
  ['another machine, by an earlier version,', { host: 'node2' }],
  ['another container of our host name', { host: hostname(), space: 'our boot, another container' }],
] as const

/** Touches the lock as its owner would, with a clock that is an hour late. */
function keepAlive(everyMs: number): void {
  let late = Date.now() / 1000 - 3600
  clearInterval(touching)
  touching = setInterval(() => utimesSync(path, late, late++), everyMs)
}

test('a folder has one owner at a time', async () => {
  const lock = await lockFolder(folder)
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'RUN_LOCKED' })
  lock.release()
  lock.release()
  ;(await lockFolder(folder)).release()
  expect(readdirSync(folder)).toEqual([])
})

test('a folder has one owner at a time on a disk without hard links, too, as exFAT is', async () => {
  disk.hasLinks = false
  const claims = await Promise.allSettled(Array.from({ length: 5 }, () => lockFolder(folder)))
  const [lock, ...others] = claims.flatMap((claim) => (claim.status === 'fulfilled' ? [claim.value] : []))
  expect(others).toEqual([])
  for (const claim of claims)
    if (claim.status === 'rejected') expect(claim.reason).toMatchObject({ code: 'RUN_LOCKED' })
  lock!.release()
  writeFileSync(path, JSON.stringify({ pid: spawnSync(process.execPath, ['-e', '']).pid, started: '1' }))
  ;(await lockFolder(folder)).release()
  expect(readdirSync(folder)).toEqual([])
})

test('a lock that is just being written counts, and one that a crash left empty does not', async () => {
  disk.hasLinks = false
  writeFileSync(path, '')
  const claim = lockFolder(folder)
  writeFileSync(path, JSON.stringify({ ...ownProcess(), pid: process.ppid, started: null }))
  await expect(claim).rejects.toMatchObject({ code: 'RUN_LOCKED' })
  writeFileSync(path, '')
  ;(await lockFolder(folder)).release()
  expect(readdirSync(folder)).toEqual([])
})

test.each([
  ['that a killed process left', () => ({ pid: spawnSync(process.execPath, ['-e', '']).pid, started: '1' })],
  ['that a killed process of this machine left', () => ({ ...ownProcess(), pid: spawnSync(process.execPath).pid })],
  ['whose process number was given to another', () => ({ pid: process.ppid, started: '1' })],
  ['of an earlier process with our number', () => ({ pid: process.pid, started: '1' })],
])('a lock %s does not count, and nobody waits for it', async (_, owner) => {
  writeFileSync(path, JSON.stringify(owner()))
  const lock = await lockFolder(folder, { touchMs: 60_000 })
  lock.release()
})

test('a lock that was cut short does not count', async () => {
  writeFileSync(path, '{"pi')
  ;(await lockFolder(folder)).release()
})

test('a living process keeps its lock', async () => {
  writeFileSync(path, JSON.stringify({ pid: process.ppid, started: null }))
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'RUN_LOCKED' })
})

test.skipIf(process.platform !== 'linux')(
  'a process that is dead keeps no lock, though its parent has not asked how it ended',
  async () => {
    // A child of a shell that has become sleep, which asks for nobody's end: killed any earlier, the shell might ask for it.
    const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] })
    let pid = 0
    try {
      pid = Number(String((await once(parent.stdout, 'data'))[0]))
      await vi.waitFor(() => expect(readFileSync(`/proc/${parent.pid}/comm`, 'utf8')).toBe('sleep\n'))
      process.kill(pid, 'SIGKILL')
      const statOf = (): string[] =>
        readFileSync(`/proc/${pid}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ')
      await vi.waitFor(() => expect(statOf()[0]).toBe('Z'))
      writeFileSync(path, JSON.stringify({ pid, started: statOf()[19] }))
      ;(await lockFolder(folder)).release()
    } finally {
      if (pid > 0) process.kill(pid, 'SIGKILL') // a zombie takes it, too
      parent.kill()
    }
  },
)

test('a lock that cannot be written leaves nothing behind', async () => {
  disk.isFull = true
  try {
    await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'DISK_FULL' })
  } finally {
    disk.isFull = false
  }
  expect(readdirSync(folder)).toEqual([])
})

test.each(ELSEWHERE)('a lock of %s that is touched is kept, whatever runs here under its number', async (_, where) => {
  for (const pid of [process.pid, 2 ** 22 + 1]) {
    const content = JSON.stringify({ pid, started: '1', ...where })
    writeFileSync(path, content)
    keepAlive(20)
    await expect(lockFolder(folder, { touchMs: 20 })).rejects.toMatchObject({
      code: 'RUN_LOCKED',
      message: expect.stringMatching(new RegExp(`in use by process ${pid} (of .*|on )${where.host}$`)),
      hint: 'stop that process there, or choose another --out',
    })
    expect(readFileSync(path, 'utf8')).toBe(content)
  }
})

test.each(ELSEWHERE)('a lock of %s that is not touched is taken after a while, which is told', async (_, where) => {
  writeFileSync(path, JSON.stringify({ pid: process.pid, started: '1', ...where }))
  const told: string[] = []
  const begun = performance.now()
  const lock = await lockFolder(folder, { touchMs: 20, onWatch: (message) => told.push(message) })
  expect(performance.now() - begun).toBeGreaterThan(90)
  expect(told).toEqual([
    expect.stringMatching(/was locked by process \d+ o.*: watching for 0.1 s whether that still runs/),
  ])
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject(ownProcess())
  lock.release()
  expect(readdirSync(folder)).toEqual([])
})

test('of two that watch the same dead lock one takes it', async () => {
  writeFileSync(path, JSON.stringify({ pid: 1, started: '1', host: 'node2' }))
  const outcomes = await Promise.allSettled([1, 2].map(() => lockFolder(folder, { touchMs: 10 })))
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') outcome.value.release()
    else expect(outcome.reason).toMatchObject({ code: 'RUN_LOCKED' })
  }
})

test('a lock whose owner touches it seldom is watched for as much longer', async () => {
  writeFileSync(path, JSON.stringify({ pid: 1, started: '1', host: 'node2', touchMs: 60 }))
  const told: string[] = []
  const lock = await lockFolder(folder, { touchMs: 10, onWatch: (message) => told.push(message) })
  expect(told).toEqual([expect.stringMatching(/watching for 0.3 s/)])
  lock.release()
})

test('a process that holds many locks touches the later ones more seldom, and says so in them', async () => {
  const locks = []
  for (let i = 0; i < 4; i++) {
    const other = join(folder, `${i}`)
    mkdirSync(other)
    locks.push(await lockFolder(other, { touchMs: 30 }))
    expect(JSON.parse(readFileSync(join(other, '.lock'), 'utf8'))).toMatchObject({ touchMs: Math.max(30, 20 * i) })
  }
  for (const lock of locks) lock.release()
})

test('who watches a lock can be interrupted', async () => {
  writeFileSync(path, JSON.stringify({ pid: 1, started: '1', host: 'node2' }))
  const stop = new AbortController()
  const waiting = lockFolder(folder, { touchMs: 60_000, signal: stop.signal, onWatch: () => stop.abort() })
  await expect(waiting).rejects.toMatchObject({ code: 'INTERRUPTED' })
  expect(existsSync(path)).toBe(true)
})

test('a lock is touched as long as it is held, also when that did not succeed once', async () => {
  const lock = await lockFolder(folder, { touchMs: 10 })
  const touched = (): number => statSync(path).mtimeMs
  const first = touched()
  await vi.waitUntil(() => touched() !== first, SOON)
  const content = readFileSync(path)
  rmSync(path)
  await new Promise((resolve) => setTimeout(resolve, 50))
  writeFileSync(path, content)
  const again = touched()
  await vi.waitUntil(() => touched() !== again, SOON)
  lock.release()
  expect(existsSync(path)).toBe(false)
})

test('a process that lost its lock to another while it stood still learns of it, and leaves the lock to that one', async () => {
  const lock = await lockFolder(folder, { touchMs: 10 })
  const other = JSON.stringify({ pid: 7, started: '1', host: 'node2' })
  writeFileSync(path, other)
  await vi.waitUntil(() => lock.lost.aborted, SOON)
  lock.release()
  expect(lock.lost.reason).toMatchObject({ code: 'RUN_LOCKED', message: `${folder} is in use by process 7 on node2` })
  expect(readFileSync(path, 'utf8')).toBe(other)
})
