import { join } from 'node:path'
import { makeBrains } from '@meshfl/dataset'
import { cli, temporaryFolder } from './cli.js'

const SHAPE = [16, 16, 16] as const

/** Small made brains in images/ and labels/, as a researcher's folder would be. */
export async function makeSource(count: number, seed = 1): Promise<string> {
  const out = join(temporaryFolder('source'), 'scans')
  await makeBrains({ out, count, seed, shape: SHAPE, voxelSizeMm: 12 })
  return out
}

/** A dataset split over sites by the real command. */
export async function makeDataset(sites: number, count = 4 * sites): Promise<string> {
  const out = join(temporaryFolder('dataset'), 'dataset')
  const source = await makeSource(count)
  const result = await cli([
    'split',
    source,
    '--out',
    out,
    '--shape',
    '16',
    '--voxel-size',
    '12',
    '--sites',
    String(sites),
    '--ratios',
    '0.5,0.25,0.25',
    '--json',
  ])
  if (result.code !== 0) throw new Error(`meshfl split failed: ${result.stdout}${result.stderr}`)
  return out
}
