import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { Loopback } from './loopback.fixture.js'

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

let loopback: Loopback
afterEach(() => loopback.close())

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
