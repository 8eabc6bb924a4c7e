import { mkdtempSync, readFileSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SharedRounds } from './shared-rounds.js'

const options = { leastBytes: 1 << 20 }

function newPath(): string {
  return join(mkdtempSync(join(tmpdir(), 'meshfl-rounds-')), 'rounds')
}

async function read(path: string, site: string): Promise<Buffer | undefined> {
  const rounds = await SharedRounds.open(path, options)
  const bytes = await rounds.of(site).read()
  await rounds.close()
  return bytes && Buffer.from(bytes)
}

test('each site finds its own last round again', async () => {
  const path = newPath()
  const rounds = await SharedRounds.open(path, options)
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
  const rounds = await SharedRounds.open(path, options)
  const of = (site: number, round: number) => Buffer.alloc(1 << 16, 16 * site + round)
  // 5 sites of 64 KiB: the log begins anew after some 20 records.
  for (let round = 1; round <= 12; round++)
    await Promise.all([0, 1, 2, 3, 4].map((site) => rounds.of(`${site}`).write(() => [of(site, round)])))
  await rounds.close()
  for (const site of [0, 1, 2, 3, 4]) expect((await read(path, `${site}`))?.equals(of(site, 12))).toBe(true)
})

test('what a site wrote long ago is found, however often the log began anew since, also when it was opened again meanwhile', async () => {
  const path = newPath()
  for (const start of [0, 20]) {
    const rounds = await SharedRounds.open(path, options)
    if (start === 0) await rounds.of('quiet').write(() => [Buffer.from('said once')])
    // 512 KiB a round: the log begins anew every second one.
    for (let round = start; round < start + 8; round++)
      await Promise.all([0, 1].map((site) => rounds.of(`${site}`).write(() => [Buffer.alloc(4 << 16, round)])))
    await rounds.close()
    expect((await read(path, 'quiet'))?.toString()).toBe('said once')
    expect((await read(path, '1'))?.equals(Buffer.alloc(4 << 16, start + 7))).toBe(true)
  }
})

test('what was written before the log began anew and not again since is found', async () => {
  const path = newPath()
  const rounds = await SharedRounds.open(path, options)
  const write = (site: string, fill: number) => rounds.of(site).write(() => [Buffer.alloc(6 << 16, fill)])
  for (const site of ['a', 'b', 'c']) await write(site, 1)
  await write('a', 2) // begins anew; b and c are in what was there before
  await rounds.close()
  expect(readFileSync(`${path}.b`).includes(Buffer.alloc(1 << 16, 1))).toBe(false)
  for (const [site, fill] of [
    ['a', 2],
    ['b', 1],
    ['c', 1],
  ] as const)
    expect((await read(path, site))?.equals(Buffer.alloc(6 << 16, fill))).toBe(true)
})

test('a torn end leaves every site what it kept before', async () => {
  const path = newPath()
  const rounds = await SharedRounds.open(path, options)
  await rounds.of('a').write(() => [Buffer.from('first')])
  await rounds.of('b').write(() => [Buffer.from('other')])
  await rounds.of('a').write(() => [Buffer.alloc(9000, 1)])
  await rounds.close()
  truncateSync(`${path}.a`, 4096 * 4) // within the last record
  expect((await read(path, 'a'))?.toString()).toBe('first')
})
