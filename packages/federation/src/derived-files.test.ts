import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import type { Commit } from './coordinator-store.js'
import { DerivedFiles } from './derived-files.js'
import { LAYOUT, Loopback } from './loopback.fixture.js'

const disk = vi.hoisted(() => ({ failsOnce: false }))

/** A disk that cannot write a file once when it is asked to, as a file server that is away for a moment. */
vi.mock('node:fs/promises', async (load) => {
  const real = await load<typeof import('node:fs/promises')>()
  const open: typeof real.open = async (path, flags, mode) => {
    const handle = await real.open(path, flags, mode)
    if (!disk.failsOnce || flags !== 'r+') return handle
    disk.failsOnce = false
    handle.sync = async () => {
      throw Object.assign(new Error('ETIMEDOUT'), { code: 'ETIMEDOUT' })
    }
    return handle
  }
  return { ...real, open }
})

let loopback: Loopback | undefined
afterEach(async () => {
  await loopback?.close()
  loopback = undefined
})

test('a file that could not be synced is not taken to be on the disk at the next try: the run ends, and writes it anew when it goes on', async () => {
  loopback = new Loopback(1, { rounds: 2 })
  const coordinator = await loopback.start()
  disk.failsOnce = true
  const site = loopback.join('site-1')
  await expect(coordinator.finished).rejects.toMatchObject({ code: 'FILES_NOT_SYNCED' })
  await coordinator.stop()
  const again = await loopback.start()
  const [result] = await Promise.all([again.finished, site.finished])
  expect(result.rounds).toBe(2)
  expect(readdirSync(join(loopback.run, 'rounds'))).toHaveLength(2)
  expect(readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8').trim().split('\n')).toHaveLength(2)
})

test('ledger lines that are there already are written again: they may be what never came to the disk', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'meshfl-derived-'))
  const path = join(folder, 'ledger.jsonl')
  try {
    const derived = new DerivedFiles(folder, LAYOUT, () => ({}))
    const lines = ['first', 'second', 'third']
    const commits = lines.map((ledgerLine, i) => {
      const ledgerBytes = Buffer.byteLength(
        lines
          .slice(0, i + 1)
          .map((line) => `${line}\n`)
          .join(''),
      )
      return { round: i + 1, ledgerLine, ledgerBytes } as Commit
    })
    await derived.writeLedger(commits)
    utimesSync(path, 1, 1)
    await derived.writeLedger(commits.slice(1))
    expect(readFileSync(path, 'utf8')).toBe('first\nsecond\nthird\n')
    expect(statSync(path).mtimeMs).toBeGreaterThan(1000)
    await derived.writeLedger(commits.slice(0, 2))
    expect(readFileSync(path, 'utf8')).toBe('first\nsecond\n')
    await expect(derived.writeLedger([{ ...commits[2]!, ledgerBytes: 99 }])).rejects.toMatchObject({
      code: 'LEDGER_TRUNCATED',
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
