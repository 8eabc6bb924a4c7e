import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { studyFromOptions } from './study-from-options.js'

function studyOf(yaml: string, given = {}) {
  const study = join(mkdtempSync(join(tmpdir(), 'meshfl-study-')), 'study.yaml')
  writeFileSync(study, yaml)
  return studyFromOptions({ study }, given)
}

describe('a key that a study does not have is refused', () => {
  test.each([
    ['round: 3', 'did you mean rounds?'],
    ['Seed: 3', 'did you mean seed?'],
    ['channels: 4', 'did you mean model.channels?'],
    ['model: { chanels: 4 }', 'did you mean model.channels?'],
    ['federation: { min_sites: 2 }', 'did you mean federation.minSites?'],
    ['conform: { mod: none, mode: none, shape: [8, 8, 8] }', 'did you mean conform.mode?'],
  ])('%s: %s', async (yaml, hint) => {
    await expect(studyOf(yaml)).rejects.toMatchObject({ code: 'STUDY_INVALID', hint, exitCode: 2 })
  })

  test('with the keys that there are, when none is close', async () => {
    await expect(studyOf('recipe: { lr: 0.1 }')).rejects.toMatchObject({
      message: expect.stringMatching(/study.yaml: recipe: there is no key lr$/),
      hint: expect.stringMatching(/^recipe has the keys classWeights, .*maxLearningRate, /),
    })
  })

  test('also where the dataset says the same', async () => {
    const conform = { mode: 'none', shape: [8, 8, 8] }
    await expect(studyOf('conform: { mod: none }', { conform })).rejects.toMatchObject({ code: 'STUDY_INVALID' })
    expect((await studyOf('seed: 3', { conform })).conform).toEqual(conform)
  })
})

test.each([
  ['[background, tissue, tissue]', 'two classes are called tissue'],
  ['[background, " ", tissue]', 'a class has no name'],
  ['[background, __proto__, tissue]', 'a class cannot be called __proto__'],
])('a study whose figures could not be kept by the names of its classes is refused: %s', async (names, fault) => {
  const message = expect.stringContaining(`study.yaml: classNames: ${fault}`)
  await expect(studyOf(`classNames: ${names}`)).rejects.toMatchObject({ code: 'STUDY_INVALID', message })
})
