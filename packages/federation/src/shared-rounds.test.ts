import { mkdtempSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SharedRounds } from './shared-rounds.js'

function newPath(): string {
  return join(mkdtempSync(join(tmpdir(), 'meshfl-rounds-')), 'rounds')
}

async function read(path: string, site: string): Promise<Buffer | undefined> {
  const rounds = await SharedRounds.open(path)
  const bytes = await rounds.of(site).read()
  await rounds.close()
  return bytes && Buffer.from(bytes)
}

test('each site finds its own last round again', async () => {
  const path = newPath()
  const rounds = await SharedRounds.open(path)
  const of = (site: string, round: number) => Buffer.from(`${site} ${round}`)
  for (const round of [1, 2]) {
    const sites = ['b', 'a', 'ü'].slice(0, round + 1)
    await Promise.all(sites.map((site) => rounds.of(site).write(() => [of(site, round)])))
  }
  await rounds.close()
  for (const site of ['a', 'b', 'ü']) expect(await read(path, site)).toEqual(of(site, 2))
  expect(await read(path, 'c')).toBeUndefined()
})

test('a log that begins anew while sites write loses none of them', async () => {
  const path = newPath()
  const rounds = await SharedRounds.open(path)
  const of = (site: number, round: number) => Buffer.alloc(1 << 20, 16 * site + round)
  // 5 sites of 1 MiB: the log begins anew after some 20 records.
  for (let round = 1; round <= 12; round++)
    await Promise.all([0, 1, 2, 3, 4].map((site) => rounds.of(`${site}`).write(() => [of(site, round)])))
  await rounds.close()
  for (const site of [0, 1, 2, 3, 4]) expect((await read(path, `${site}`))?.equals(of(site, 12))).toBe(true)
})

test('a torn end leaves every site what it kept before', async () => {
  const path = newPath()
  const rounds = await SharedRounds.open(path)
  await rounds.of('a').write(() => [Buffer.from('first')])
  await rounds.of('b').write(() => [Buffer.from('other')])
  await rounds.of('a').write(() => [Buffer.alloc(9000, 1)])
  await rounds.close()
  truncateSync(`${path}.a`, 4096 * 4) // within the last record
  expect((await read(path, 'a'))?.toString()).toBe('first')
})
