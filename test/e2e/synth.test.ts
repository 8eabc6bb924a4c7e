import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cli, temporaryFolder } from './cli.js'

const GRID = ['--shape', '16', '--voxel-size', '12']

test('brains that data synth makes are what split takes, and other ones do not go beside them', async () => {
  const scans = join(temporaryFolder('synth'), 'scans')
  const made = await cli(['data', 'synth', '--out', scans, '--count', '4', ...GRID, '--json'])
  expect([made.code, made.last]).toEqual([0, { type: 'brains', count: 4, path: scans }])
  const dataset = join(temporaryFolder('dataset'), 'dataset')
  const split = await cli(['split', scans, '--out', dataset, ...GRID, '--ratios', '0.5,0.25,0.25', '--json'])
  expect([split.code, split.last]).toMatchObject([0, { cases: 4, findings: 0 }])
  const other = await cli(['data', 'synth', '--out', scans, '--count', '4', ...GRID, '--contrast', '0.5', '--json'])
  expect([other.code, other.last]).toMatchObject([2, { code: 'BRAINS_EXIST' }])
})
