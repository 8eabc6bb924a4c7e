import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { type CliResult, cli, temporaryFolder } from './cli.js'
import { makeSource } from './made-brains.js'

const COUNT = 12
let source: string
let out: string

/** Made brains in a table with the column vendor. */
beforeEach(async () => {
  source = await makeSource(COUNT)
  out = join(temporaryFolder('split'), 'dataset')
  const names = readdirSync(join(source, 'images')).sort()
  const rows = names.map(
    (name, i) => `${name.slice(0, 6)},images/${name},labels/${name},${['GE', 'Siemens', 'Philips'][i % 3]}`,
  )
  writeFileSync(join(source, 'cases.csv'), ['subject,image,label,vendor', ...rows, ''].join('\n'))
})

const split = (...words: string[]): Promise<CliResult> =>
  cli(['split', source, '--out', out, '--shape', '16', '--voxel-size', '12', '--json', ...words])

const manifest = () => JSON.parse(readFileSync(join(out, 'dataset.json'), 'utf8'))

test('--partition by:<column> makes a site of every value, which trains in a federation as any other', async () => {
  const made = await split('--partition', 'by:vendor', '--ratios', '0.8,0.2,0', '--seed', '1')
  expect([made.code, made.last]).toMatchObject([0, { cases: COUNT, sites: 3 }])
  expect(manifest()).toMatchObject({ partition: 'by:vendor', sites: ['GE', 'Philips', 'Siemens'] })
  const run = join(temporaryFolder('run'), 'run')
  const federated = await cli(['simulate', out, '--out', run, '--rounds', '1', '--json'])
  expect([federated.code, federated.last]).toMatchObject([0, { type: 'done', rounds: 1 }])
})

test.each(['quantity:0.5', 'dirichlet:0.1:vendor'])(
  '--partition %s deals all of train and valid to the sites asked for',
  async (partition) => {
    const made = await split('--partition', partition, '--sites', '2', '--ratios', '0.5,0.25,0.25')
    expect([made.code, made.last]).toMatchObject([0, { splits: { train: 6, valid: 3, test: 3 }, sites: 2 }])
    const { cases, ...rest } = manifest()
    expect(rest).toMatchObject({ partition, sites: ['site-1', 'site-2'] })
    for (const item of cases) expect(item.site !== undefined).toBe(item.split !== 'test')
  },
)

test('--stratify has every value in all parts alike, and its mixtures are what sites are drawn by', async () => {
  const words = ['--stratify', 'vendor', '--partition', 'dirichlet:0.5', '--sites', '2', '--ratios', '0.5,0.25,0.25']
  const made = await split(...words)
  expect([made.code, made.last]).toMatchObject([0, { splits: { train: 6, valid: 3, test: 3 }, sites: 2 }])
  const { cases, ...rest } = manifest()
  expect(rest).toMatchObject({ stratify: 'vendor', partition: 'dirichlet:0.5:vendor' })
  const test = cases.filter((item: { split: string }) => item.split === 'test')
  expect(test.map((item: { columns: object }) => item.columns)).toEqual(
    expect.arrayContaining([{ vendor: 'GE' }, { vendor: 'Siemens' }, { vendor: 'Philips' }]),
  )
})

test.each([
  ['PARTITION_INVALID', ['--partition', 'dirichlet:0:vendor', '--sites', '2']],
  ['PARTITION_INVALID', ['--partition', 'quantity:1']],
  ['SITES_INVALID', ['--partition', 'by:vendor', '--sites', '2']],
  ['PARTITION_INVALID', ['--partition', 'dirichlet:1', '--sites', '2']],
  ['COLUMN_UNKNOWN', ['--stratify', 'hospital']],
  ['COLUMN_UNKNOWN', ['--partition', 'by:hospital']],
])('%s: %j exits with 2, and writes nothing', async (code, words) => {
  const refused = await split(...words)
  expect([refused.code, refused.last]).toMatchObject([2, { type: 'error', code }])
  expect(existsSync(out)).toBe(false)
})
