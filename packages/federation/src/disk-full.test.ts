import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { verifyLedger } from './ledger.js'
import { Loopback, until } from './loopback.fixture.js'

/** Only root may mount a small disk of its own; elsewhere these tests are skipped. */
const canMount = ((): boolean => {
  const folder = mkdtempSync(join(tmpdir(), 'meshfl-mount-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'ignore' })
    execFileSync('umount', [folder])
    return true
  } catch {
    return false
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})()
const title = (words: string): string => (canMount ? words : `${words} (skipped: no right to mount a small disk)`)

const mounts: string[] = []
let loopback: Loopback
afterEach(async () => {
  await loopback?.close().catch(() => undefined)
  for (const mount of mounts.splice(0)) {
    execFileSync('umount', ['-l', mount])
    rmSync(mount, { recursive: true, force: true })
  }
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

const isTold = (words: RegExp, events: readonly { type: string; message?: string }[]): boolean =>
  events.some((event) => event.type === 'log' && words.test(event.message!))

test.skipIf(!canMount)(
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

test.skipIf(!canMount)(
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

test.skipIf(!canMount)(
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
