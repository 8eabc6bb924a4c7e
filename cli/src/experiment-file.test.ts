import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MeshflError } from '@meshfl/core'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ExperimentPlan, readExperimentFile } from './experiment-file.js'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'meshfl-experiment-'))
  file = join(folder, 'experiment.yaml')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const read = (text: string): Promise<ExperimentPlan> => {
  writeFileSync(file, text)
  return readExperimentFile(file)
}

describe('the file of an experiment', () => {
  test('has paths from its own folder, one seed and the test split where nothing else is said', async () => {
    expect(await read('dataset: ./data\narms: { one: { how: train } }')).toEqual({
      ...{ dataset: join(folder, 'data'), split: 'test', seeds: [0] },
      arms: [{ name: 'one', how: 'train', dataset: join(folder, 'data'), study: {} }],
    })
  })

  test("lays an arm's keys over those of all, section by section, and replaces lists", async () => {
    const { arms } = await read(`
      dataset: d
      study: { rounds: 5, model: { channels: 8, dilations: [1, 2] }, recipe: { localEpochs: 2 } }
      arms:
        a: { how: train }
        b: { how: simulate, dataset: e, study: { rounds: 6, model: { dilations: [4] } } }`)
    expect(arms.map(({ study }) => study)).toEqual([
      { rounds: 5, model: { channels: 8, dilations: [1, 2] }, recipe: { localEpochs: 2 } },
      { rounds: 6, model: { channels: 8, dilations: [4] }, recipe: { localEpochs: 2 } },
    ])
    expect(arms[1]!.dataset).toBe(join(folder, 'e'))
  })

  test.each([
    ['EXPERIMENT_INVALID', 'there is no key datset', 'datset: d\narms: { a: { how: train } }'],
    ['EXPERIMENT_INVALID', 'there is no arm', 'dataset: d\narms: {}'],
    ['EXPERIMENT_INVALID', 'arms.a.how', 'dataset: d\narms: { a: { how: fly } }'],
    ['EXPERIMENT_INVALID', 'folder', 'dataset: d\narms: { ../a: { how: train } }'],
    ['EXPERIMENT_INVALID', 'folder', 'dataset: d\narms: { a: { how: train }, A: { how: train } }'],
    ['EXPERIMENT_INVALID', 'a seed is there twice', 'dataset: d\nseeds: [1, 1]\narms: { a: { how: train } }'],
    ['EXPERIMENT_INVALID', 'arms.10', 'dataset: d\narms: { a: { how: train }, 10: { how: train } }'],
    ['EXPERIMENT_INVALID', 'arms.experiment.md', 'dataset: d\narms: { experiment.md: { how: train } }'],
    [
      'EXPERIMENT_INVALID',
      'drawn from its seed',
      'dataset: d\narms: { a: { how: train, study: { initialSha256: a } } }',
    ],
    ['EXPERIMENT_INVALID', 'one of seeds', 'dataset: d\narms: { a: { how: train, study: { seed: 1 } } }'],
    ['EXPERIMENT_INVALID', '', '- a\n- b'],
    ['EXPERIMENT_INVALID', '', 'a: [1'],
    ['STUDY_INVALID', 'arms.a.study', 'dataset: d\narms: { a: { how: train, study: { recipe: { lr: 1 } } } }'],
    ['STUDY_INVALID', 'rounds', 'dataset: d\nstudy: { rounds: 0 }\narms: { a: { how: train } }'],
  ])('is refused as %s, which names what is wrong (%s)', async (code, words, text) => {
    await expect(read(text)).rejects.toMatchObject({ code, kind: 'usage', message: expect.stringContaining(words) })
  })

  test('that is not there is said', async () => {
    await expect(readExperimentFile(join(folder, 'none.yaml'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
  })

  test('of any content is a plan or an error with a code', async () => {
    const values = fc.anything({
      maxDepth: 4,
      key: fc.constantFrom('dataset', 'arms', 'a', 'how', 'study', 'seeds', 'model', '__proto__'),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string(),
          values.map((value) => JSON.stringify(value, (_, x) => (typeof x === 'bigint' ? `${x}` : x)) ?? ''),
        ),
        async (text) => {
          await read(text).catch((error) => expect(error).toBeInstanceOf(MeshflError))
        },
      ),
      { numRuns: 300 },
    )
  })
})
