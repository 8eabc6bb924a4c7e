import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createRandom } from '@meshfl/core'
import { afterEach, expect, test, vi } from 'vitest'
import { disks, LossyDisk } from './power-cut.fixture.js'
import { SharedRounds } from './shared-rounds.js'

vi.mock('node:fs', async (load) => (await import('./power-cut.fixture.js')).watchedFs(await load()))
vi.mock('node:fs/promises', async (load) => (await import('./power-cut.fixture.js')).watchedPromises(await load()))

/** The nightly run takes more (docs/durability.md). */
const CUTS = Number(process.env.MESHFL_POWER_CUTS ?? 40)
const SITES = ['quiet', 'a', 'b', 'c', 'd']
/** Of a few records of a site each: the log begins anew every other round. */
const options = { leastBytes: 24_000 }

type Random = ReturnType<typeof createRandom>

/** What a site was told is on the disk, and what it has begun to write since. */
class Writes {
  readonly #sure = new Map<string, number>()
  readonly #last = new Map<string, number>()

  async write(rounds: SharedRounds, site: string, round: number): Promise<void> {
    this.#last.set(site, round)
    await rounds.of(site).write(() => [contents(site, round)])
    this.#sure.set(site, round)
  }

  /** That each site finds what it was sure of or something newer, whole. What it finds it is sure of now. */
  async check(rounds: SharedRounds): Promise<void> {
    for (const site of SITES) {
      const bytes = await rounds.of(site).read()
      const found = bytes && Buffer.from(bytes)
      const sure = this.#sure.get(site) ?? 0
      if (found === undefined) expect(sure, site).toBe(0)
      else {
        const round = found.readUInt32LE()
        expect(found.equals(contents(site, round)), `${site}, round ${round}`).toBe(true)
        expect(round, site).toBeGreaterThanOrEqual(sure)
        expect(round, site).toBeLessThanOrEqual(this.#last.get(site) ?? 0)
        this.#sure.set(site, round)
      }
    }
  }
}

/** A round of a site: its number, and bytes that no other has. */
function contents(site: string, round: number): Buffer {
  const bytes = Buffer.alloc(3000 + 100 * (round % 7), `${site} ${round}.`)
  bytes.writeUInt32LE(round)
  return bytes
}

const ROUNDS = 12

/** Opens the log and writes rounds `begin` to `end` - 1. @param failed gets what fails; thrown without it */
async function writeRounds(
  path: string,
  writes: Writes,
  [begin, end]: readonly [number, number],
  random: Random,
  failed = (error: unknown): void => {
    throw error
  },
): Promise<void> {
  const log = await SharedRounds.open(path, options)
  try {
    await writes.check(log)
    for (let round = begin; round < end; round++) {
      const chosen = SITES.filter((site) => (site === 'quiet' ? round === 1 : random.uniform() < 0.7))
      await Promise.all(chosen.map((site) => writes.write(log, site, round).catch(failed)))
      await nextTurn()
    }
  } finally {
    await log.close()
  }
}

afterEach(() => disks.clear())

function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'meshfl-cut-'))
}

async function checkAll(folder: string, writes: Writes): Promise<void> {
  const log = await SharedRounds.open(join(folder, 'rounds'), options)
  await writes.check(log)
  await log.close()
}

async function countOperations(): Promise<number> {
  const folder = newFolder()
  const disk = new LossyDisk(folder, Number.POSITIVE_INFINITY, () => undefined)
  disks.add(disk)
  await writeRounds(join(folder, 'rounds'), new Writes(), [1, 1 + ROUNDS], createRandom(7, 'rounds'))
  disks.delete(disk)
  return disk.operations
}

test(
  `of ${CUTS} pairs of power cuts, the second after the log was opened again, none takes a round that a site was sure of`,
  async () => {
    const random = createRandom(31, 'power cuts')
    const operations = await countOperations()
    for (let cut = 0; cut < CUTS; cut++) {
      const writes = new Writes()
      let folder = newFolder()
      for (const begin of [1, 100]) {
        const at = Math.floor(operations * random.uniform())
        const disk = new LossyDisk(folder, at, () => undefined)
        disks.add(disk)
        await writeRounds(join(folder, 'rounds'), writes, [begin, begin + ROUNDS], random).catch((error) => {
          if (!disk.isOff) throw error
        })
        disks.delete(disk)
        folder = newFolder()
        disk.build(folder, () => random.uniform(), [0, 0.5, 0.9][cut % 3]!)
      }
      await checkAll(folder, writes)
    }
  },
  Math.max(600_000, 2000 * CUTS),
)

test('a disk that fails for a moment takes no round that a site was sure of', async () => {
  const operations = await countOperations()
  const failures: unknown[] = []
  for (const end of [7, 9, 11, 13]) {
    for (let at = 0; at < operations; at++) {
      const writes = new Writes()
      const folder = newFolder()
      const disk = new LossyDisk(folder, at, () => {
        disk.isOff = false
      })
      disks.add(disk)
      const random = createRandom(7, 'rounds')
      const writing = writeRounds(join(folder, 'rounds'), writes, [1, end], random, (error) => failures.push(error))
      // While the log is opened it is an error.
      await writing.catch((error) => failures.push(error))
      disks.delete(disk)
      await checkAll(folder, writes)
    }
  }
  expect(failures.length).toBeGreaterThan(operations)
})
