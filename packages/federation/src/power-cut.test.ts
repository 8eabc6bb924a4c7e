import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createRandom } from '@meshfl/core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { Loopback } from './loopback.fixture.js'
import { disks, LossyDisk } from './power-cut.fixture.js'

vi.mock('node:fs', async (load) => (await import('./power-cut.fixture.js')).watchedFs(await load()))
vi.mock('node:fs/promises', async (load) => (await import('./power-cut.fixture.js')).watchedPromises(await load()))

const SITES = ['site-1', 'site-22'] as const
const ROUNDS = 5
/** The nightly run takes more (docs/durability.md). */
const CUTS = Number(process.env.MESHFL_POWER_CUTS ?? 40)
const open: Loopback[] = []
let reference: Loopback
let hash: string
/** Operations on the disk in a whole run. */
let operations: number

afterAll(() => Promise.all(open.map((loopback) => loopback.close())))

function newLoopback(): Loopback {
  const loopback = new Loopback(2, { rounds: ROUNDS })
  open.push(loopback)
  return loopback
}

async function runToEnd(loopback: Loopback): Promise<string> {
  const coordinator = await loopback.start()
  for (const site of SITES) inviteFor(loopback, site)
  const sites = SITES.map((site) => loopback.join(site))
  const [result, ...own] = await Promise.all([coordinator.finished, ...sites.map(({ finished }) => finished)])
  expect(own.map(({ parametersSha256 }) => parametersSha256)).toEqual(SITES.map(() => result.parametersSha256))
  return result.parametersSha256
}

/** The invites of the reference, with this coordinator's port. */
function inviteFor(loopback: Loopback, site: string): void {
  const invite = reference.invites.get(site)
  const port = /:(\d+)$/.exec(loopback.coordinator.endpoint)![1]
  if (invite) loopback.invites.set(site, invite.replace(/:(\d+)\//, `:${port}/`))
}

/** The reference's keys and approvals in a new folder: the same run, not yet begun. */
function beginAnew(): Loopback {
  const loopback = newLoopback()
  for (const name of ['run', ...SITES]) {
    mkdirSync(join(loopback.folder, name), { recursive: true })
    cpSync(join(reference.folder, name, 'keys'), join(loopback.folder, name, 'keys'), { recursive: true })
  }
  cpSync(join(reference.run, 'sites.json'), join(loopback.run, 'sites.json'))
  return loopback
}

beforeAll(async () => {
  reference = newLoopback()
  hash = await runToEnd(reference)
  const counted = beginAnew()
  const disk = new LossyDisk(counted.folder, Number.POSITIVE_INFINITY, () => undefined)
  disks.add(disk)
  expect(await runToEnd(counted)).toBe(hash)
  disks.delete(disk)
  operations = disk.operations
})

test(
  `${CUTS} power cuts, each of which loses what was not synced, leave the files of an undisturbed run`,
  async () => {
    const random = createRandom(23, 'power cuts')
    for (let cut = 0; cut < CUTS; cut++) {
      const before = beginAnew()
      const at = Math.floor((operations * (cut + random.uniform())) / CUTS)
      const isCut = new Promise<void>((resolve) => {
        const disk = new LossyDisk(before.folder, at, resolve)
        disks.add(disk)
      })
      const running = runToEnd(before).catch(() => undefined)
      await Promise.race([isCut, running])
      await before.stopAll()
      const [disk] = disks
      disks.clear()

      const after = newLoopback()
      // The worst state, and others between that and the best.
      disk!.build(after.folder, () => random.uniform(), [0, 0.5, 0.9][cut % 3]!)
      expect(await runToEnd(after), `operation ${at}`).toBe(hash)
      for (const name of ['ledger.jsonl', 'latest.safetensors', 'best.safetensors', 'rounds/0001.safetensors']) {
        const isSame = readFileSync(join(after.run, name)).equals(readFileSync(join(reference.run, name)))
        expect(isSame, `${name} after a cut at operation ${at}`).toBe(true)
      }
    }
  },
  Math.max(600_000, 2000 * CUTS),
)
