import { join } from 'node:path'
import { expect } from 'vitest'
import { cli, temporaryFolder } from './cli.js'
import { makeSource } from './made-brains.js'

export interface TrainedRun {
  /** Eight made brains: images and labels. */
  source: string
  /** Made of them: 16^3 at 12 mm, four to train, two to validate, two to test. */
  dataset: string
  /** Two rounds on it. */
  run: string
}

/** A small model, trained by the command line. */
export async function trainRun(): Promise<TrainedRun> {
  const source = await makeSource(8)
  const dataset = join(temporaryFolder('dataset'), 'dataset')
  const run = join(temporaryFolder('run'), 'run')
  const options = ['--shape', '16', '--voxel-size', '12', '--ratios', '0.5,0.25,0.25']
  const split = await cli(['split', source, '--out', dataset, ...options, '--json'])
  expect(split.last).toMatchObject({ type: 'dataset', cases: 8, splits: { train: 4, valid: 2, test: 2 }, sites: 1 })
  const trained = await cli(['train', dataset, '--out', run, '--rounds', '2', '--json'])
  expect(trained.last).toMatchObject({ type: 'done', rounds: 2, path: run })
  return { source, dataset, run }
}
