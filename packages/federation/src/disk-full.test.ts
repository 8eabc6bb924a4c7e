import { execFileSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { decodeModel, type MeshflEvent, modelSha256, TEMPORARY_PREFIX } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import type { CoordinatorOptions } from './coordinator.js'
import { verifyLedger } from './ledger.js'
import { LAYOUT, Loopback, until } from './loopback.fixture.js'
import { canMount } from './mount.fixture.js'

/** A small disk of its own; where it cannot be mounted these tests are skipped. */
const hasSmallDisk = canMount((folder) => ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder])
const title = (words: string): string => (hasSmallDisk ? words : `${words} (skipped: no right to mount a small disk)`)

const mounts: string[] = []
let loopback: Loopback
afterEach(async () => {
  await loopback?.close().catch(() => undefined)
  for (const mount of mounts.splice(0).reverse()) execFileSync('umount', ['-l', mount])
  rmSync(loopback.folder, { recursive: true, force: true })
})

/** A folder of the federation on a disk of its own. */
function smallDisk(name: string): string {
  const folder = join(loopback.folder, name)
  mkdirSync(folder, { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder])
  mounts.push(folder)
  return folder
}

/** Takes all room that there is; gives it back. */
function fill(folder: string): () => void {
  const path = join(folder, 'filler')
  const file = openSync(path, 'w')
  try {
    for (;;) writeSync(file, Buffer.alloc(4096))
  } catch {
    closeSync(file) // full
  }
  return () => rmSync(path)
}

/** Whatever is opened in the folder from now on can only be read; gives it back. What is open stays open. */
function forbid(folder: string): () => void {
  execFileSync('mount', ['--bind', '-o', 'ro', folder, folder])
  mounts.push(folder)
  return () => {
    execFileSync('umount', ['-l', folder])
    mounts.splice(mounts.lastIndexOf(folder), 1)
  }
}

const temporaryFiles = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes(TEMPORARY_PREFIX))

const isTold = (words: RegExp, events: readonly { type: string; message?: string }[]): boolean =>
  events.some((event) => event.type === 'log' && words.test(event.message!))

test.skipIf(!hasSmallDisk)(
  title('a coordinator whose disk fills up says so, goes on when there is room, and has lost nothing'),
  async () => {
    loopback = new Loopback(1, { rounds: 30 })
    const disk = smallDisk('run')
    const coordinator = await loopback.start()
    const site = loopback.join('site-1')
    await until(() => loopback.events.some((event) => event.type === 'round-finished' && event.round === 3))
    const free = fill(disk)
    await until(() => isTold(/^no room to write .*: waiting until it can be written$/, loopback.events))
    free()
    const [result] = await Promise.all([coordinator.finished, site.finished])
    expect(isTold(/it can be written again: going on/, loopback.events)).toBe(true)
    const ledger = readFileSync(join(disk, 'ledger.jsonl'), 'utf8').trim().split('\n')
    expect(verifyLedger(ledger, coordinator.signingPublic)).toEqual({ ok: true, rounds: 30 })
    expect(readdirSync(join(disk, 'rounds'))).toHaveLength(30)
    expect(result.rounds).toBe(30)
  },
)

test.skipIf(!hasSmallDisk)(
  title('a site whose disk is full keeps its result until there is room, and sends it then'),
  async () => {
    loopback = new Loopback(1, { rounds: 3 })
    const disk = smallDisk('site-1')
    const coordinator = await loopback.start()
    let free: (() => void) | undefined
    const at = (point: string): void => {
      if (point === 'before start' && !free) free = fill(disk)
    }
    const site = loopback.join('site-1', {}, { at })
    await until(() => isTold(/^no room to write .*waiting/, loopback.siteEvents.get('site-1')!))
    free!()
    const [result, own] = await Promise.all([coordinator.finished, site.finished])
    expect(own.parametersSha256).toBe(result.parametersSha256)
    expect(loopback.trainers.get('site-1')!.begun).toEqual([1, 2, 3]) // nothing was trained twice
  },
)

test.skipIf(!hasSmallDisk)(
  title('a start in a folder that cannot be written, or on a full disk, ends with words'),
  async () => {
    loopback = new Loopback(1)
    const disk = smallDisk('run')
    const free = fill(disk)
    await expect(loopback.start()).rejects.toMatchObject({ code: 'DISK_FULL' })
    free()
    execFileSync('mount', ['-o', 'remount,ro', disk])
    await expect(loopback.start()).rejects.toMatchObject({ code: 'PATH_NOT_WRITABLE' })
  },
)

test.skipIf(!hasSmallDisk)(
  title(
    'a coordinator whose folder can only be read for a while says so, lets a site in when it can write, and goes on',
  ),
  async () => {
    loopback = new Loopback(2, { rounds: 30 })
    const disk = smallDisk('run')
    const asked = new Set<string>()
    const approve: CoordinatorOptions['approve'] = async ({ site }) => asked.add(site).has(site)
    const coordinator = await loopback.start({ minSites: 1, approve })
    const site = loopback.join('site-1')
    await until(() => loopback.events.some((event) => event.type === 'round-finished' && event.round === 3))
    const allow = forbid(disk)
    const late = loopback.join('site-2')
    await until(() => isTold(/^cannot write .* \(EROFS\): waiting until it can be written$/, loopback.events))
    await until(() => asked.has('site-2'))
    await new Promise((resolve) => setTimeout(resolve, 100)) // it is to be written down, and cannot be
    const lines = (): number => readFileSync(join(disk, 'ledger.jsonl'), 'utf8').trim().split('\n').length
    const before = lines()
    allow()
    const [result] = await Promise.all([coordinator.finished, site.finished, late.finished])
    expect(isTold(/it can be written again: going on/, loopback.events)).toBe(true)
    expect(before).toBeLessThan(30)
    const ledger = readFileSync(join(disk, 'ledger.jsonl'), 'utf8').trim().split('\n')
    expect(verifyLedger(ledger, coordinator.signingPublic)).toEqual({ ok: true, rounds: 30 })
    expect(readdirSync(join(disk, 'rounds'))).toHaveLength(30)
    expect(temporaryFiles(disk)).toEqual([])
    expect(result.rounds).toBe(30)
  },
)

test.skipIf(!hasSmallDisk)(
  title('a site whose folder can only be read, in a round and at the end, keeps what it has and goes on'),
  async () => {
    loopback = new Loopback(1, { rounds: 3 })
    const disk = smallDisk('site-1')
    const coordinator = await loopback.start()
    let allow: (() => void) | undefined
    const events = (): MeshflEvent[] => loopback.siteEvents.get('site-1')!
    const told = (words: RegExp): number =>
      events().filter((event) => event.type === 'log' && words.test(event.message)).length
    let results = 0
    const at = (point: string): void => {
      // Its first result finds no file yet; after the last one there is the model to be written.
      if (point === 'before save' && results === 0) allow = forbid(disk)
      if (point === 'result written' && ++results === 3) allow = forbid(disk)
    }
    const site = loopback.join('site-1', {}, { at })
    for (const time of [1, 2]) {
      await until(() => told(/^cannot write .* \(EROFS\): waiting until it can be written$/) === time)
      expect(temporaryFiles(disk)).toEqual([])
      allow!()
      await until(() => told(/it can be written again: going on/) === time)
    }
    const [result, own] = await Promise.all([coordinator.finished, site.finished])
    expect(own.parametersSha256).toBe(result.parametersSha256)
    expect(loopback.trainers.get('site-1')!.begun).toEqual([1, 2, 3]) // nothing was trained twice
    const model = decodeModel(LAYOUT, readFileSync(join(disk, 'model.safetensors')))
    expect(modelSha256(model)).toBe(result.parametersSha256)
  },
)

test.skipIf(!hasSmallDisk)(
  title(
    'a site that is revoked while nothing can be written is out at once, and that is on the disk before it is answered',
  ),
  async () => {
    loopback = new Loopback(2, { rounds: 30 })
    const disk = smallDisk('run')
    const coordinator = await loopback.start({ minSites: 1 })
    const goes = loopback.join('site-2', { delayMs: 60_000 })
    await until(() => loopback.events.some((event) => event.type === 'site-state' && event.site === 'site-2'))
    const id = 'a'.repeat(16)
    // In one turn: the request is there, and its answer cannot be written.
    writeFileSync(join(disk, 'control', `${id}.request`), JSON.stringify({ action: 'revoke', site: 'site-2' }))
    const allow = forbid(disk)
    await expect(goes.finished).rejects.toMatchObject({ code: 'SITE_REVOKED' })
    expect(readFileSync(join(disk, 'sites.json'), 'utf8')).toContain('"revoked": []')
    allow()
    await until(() => existsSync(join(disk, 'control', `${id}.answer`)))
    const { revoked } = JSON.parse(readFileSync(join(disk, 'sites.json'), 'utf8'))
    expect(revoked).toMatchObject([{ site: 'site-2' }])
    const stays = loopback.join('site-1')
    await Promise.all([coordinator.finished, stays.finished])
  },
)
