import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { foldOf } from './folds.js'
import { openDataset } from './open-dataset.js'
import { prepareDataset } from './prepare-dataset.js'
import {
  optionsFor,
  readManifest,
  smallBrain,
  sourceOf,
  temporaryFolder,
  writeVolume,
} from './small-brains.test-support.js'
import { dealFolds, splitSubjects } from './split.js'

const rows = fc.uniqueArray(fc.tuple(fc.string({ maxLength: 8 }), fc.constantFrom('', 'GE', 'Siemens', 'Philips')), {
  selector: ([subject]) => subject,
  minLength: 1,
  maxLength: 60,
})
const counts = (folds: readonly number[], k: number): number[] =>
  Array.from({ length: k }, (_, fold) => folds.filter((one) => one === fold).length)

describe('dealFolds', () => {
  test('every subject that is not in test is in one fold, and sizes differ by at most one, with strata and without', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 2, max: 9 }), fc.nat(), fc.boolean(), (list, k, seed, isStratified) => {
        const strata = isStratified ? new Map(list) : undefined
        const splits = splitSubjects(
          list.map(([subject]) => subject),
          [6, 2, 2],
          seed,
          strata,
        )
        const folds = dealFolds(splits, k, seed, strata)
        for (const [subject, split] of splits) expect(folds.has(subject)).toBe(split !== 'test')
        const sizes = counts([...folds.values()], k)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
      }),
    )
  })

  test('each stratum is spread over the folds, to within one subject', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 2, max: 9 }), fc.nat(), (list, k, seed) => {
        const strata = new Map(list)
        const splits = new Map(list.map(([subject]) => [subject, 'train'] as const))
        const folds = dealFolds(splits, k, seed, strata)
        for (const stratum of strata.values()) {
          const sizes = counts(
            list.flatMap(([subject, value]) => (value === stratum ? [folds.get(subject)!] : [])),
            k,
          )
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
        }
      }),
    )
  })

  test('the order of the subjects changes nothing, and another seed the folds', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 2, max: 9 }), fc.nat(), (list, k, seed) => {
        const deal = (of: typeof list): [string, number][] =>
          [...dealFolds(new Map(of.map(([subject]) => [subject, 'train'])), k, seed, new Map(of))].sort()
        expect(deal([...list].reverse())).toEqual(deal(list))
      }),
    )
    const splits = new Map(Array.from({ length: 24 }, (_, index) => [`s${index}`, 'train'] as const))
    const drawn = new Set([0, 1, 2].map((seed) => JSON.stringify([...dealFolds(splits, 3, seed)].sort())))
    expect(drawn.size).toBe(3)
  })
})

describe('a dataset with folds', () => {
  const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'sub-1_ses-a', 'sub-1_ses-b']
  const OPTIONS = { folds: 3, ratios: [3, 3, 2] } as const

  test('opens as each of them: its cases are valid, the others train, and test is that of a split without folds', async () => {
    const out = join(await temporaryFolder(), 'out')
    const source = await sourceOf(IDS)
    const { manifest } = await prepareDataset(optionsFor(source, out, { ...OPTIONS, ratios: [...OPTIONS.ratios] }))
    expect(manifest.findings).toEqual([])
    expect(manifest.folds).toBe(3)
    const subjectsIn = (of: typeof manifest, split: string): string[] => [
      ...new Set(of.cases.filter((item) => item.split === split).map(({ subject }) => subject)),
    ]
    const without = await prepareDataset(optionsFor(source, 'unused', { ratios: [...OPTIONS.ratios], dryRun: true }))
    const test = subjectsIn(without.manifest, 'test')
    expect(test.length).toBe(2)
    expect(subjectsIn(manifest, 'test')).toEqual(test)
    expect((await openDataset(out)).cases('valid')).toEqual([])
    const seen: string[] = []
    for (const fold of [0, 1, 2]) {
      const dataset = await openDataset(out, undefined, fold)
      const valid = subjectsIn(dataset.manifest, 'valid')
      expect(dataset.cases('valid').every((item) => item.fold === fold)).toBe(true)
      expect(subjectsIn(dataset.manifest, 'train').filter((subject) => valid.includes(subject))).toEqual([])
      expect(dataset.cases('train').length + dataset.cases('valid').length + dataset.cases('test').length).toBe(10)
      expect(subjectsIn(dataset.manifest, 'test')).toEqual(test)
      seen.push(...valid)
    }
    expect([...seen, ...test].sort()).toEqual([...new Set(manifest.cases.map(({ subject }) => subject))].sort())
    const splits = JSON.parse(await readFile(join(out, 'splits_final.json'), 'utf8'))
    expect(splits).toEqual(
      [0, 1, 2].map((fold) => {
        const of = (split: string): string[] =>
          foldOf(manifest, fold)
            .cases.filter((item) => item.split === split)
            .map(({ id }) => id)
        return { train: of('train'), val: of('valid') }
      }),
    )
    expect(await readFile(join(out, 'qc.html'), 'utf8')).toContain('in 3 folds')
  })

  test('keeps the place of who is left out, and moves nobody when it is mended', async () => {
    const source = await sourceOf(IDS)
    const out = join(await temporaryFolder(), 'out')
    const options = optionsFor(source, out, { folds: 7, ratios: [1, 0, 0] })
    const placesOf = ({ cases }: Awaited<ReturnType<typeof readManifest>>) =>
      new Map(cases.map(({ subject, fold }) => [subject, fold]))
    const plan = placesOf((await prepareDataset({ ...options, dryRun: true })).manifest)
    // Nine subjects in seven folds: five of them have one alone.
    const alone = [...plan].find(
      ([id, fold]) => id.length === 1 && counts([...plan.values()] as number[], 7)[fold!] === 1,
    )!
    await writeFile(join(source, 'images', `${alone[0]}.nii.gz`), 'no scan')
    const { manifest } = await prepareDataset(options)
    expect(manifest.findings).toContainEqual({
      level: 'warning',
      code: 'FOLD_EMPTY',
      message: `no subject is in fold ${alone[1]}: all that belong there were left out`,
    })
    await writeVolume(join(source, 'images', `${alone[0]}.nii.gz`), smallBrain(IDS.indexOf(alone[0])).image)
    await prepareDataset(options)
    expect(placesOf(await readManifest(out))).toEqual(plan)
  })

  test('is not dealt anew', async () => {
    const source = await sourceOf(IDS)
    const out = join(await temporaryFolder(), 'out')
    const options = optionsFor(source, out, { folds: 2, ratios: [1, 0, 0] })
    await prepareDataset(options)
    const manifest = await readManifest(out)
    const one = manifest.cases[0]!
    one.fold = 1 - one.fold!
    await writeFile(join(out, 'dataset.json'), JSON.stringify(manifest))
    await expect(prepareDataset(options)).rejects.toMatchObject({
      code: 'DATASET_DEALT_ANEW',
      message: expect.stringContaining(`${one.subject} from fold ${one.fold} to fold ${1 - one.fold}`),
    })
  })

  test('has no other folds, and a dataset without folds has none', async () => {
    const source = await sourceOf(['a', 'b', 'c'])
    const folder = await temporaryFolder()
    await prepareDataset(optionsFor(source, join(folder, 'folds'), { folds: 2, ratios: [1, 0, 0] }))
    await prepareDataset(optionsFor(source, join(folder, 'plain')))
    for (const [name, fold] of [
      ['folds', 2],
      ['folds', 0.5],
      ['plain', 0],
    ] as const) {
      const opened = openDataset(join(folder, name), undefined, fold)
      await expect(opened).rejects.toMatchObject({ code: 'FOLD_INVALID', exitCode: 2 })
    }
  })

  test.each([
    ['FOLDS_INVALID', 2, { folds: 1 }],
    ['FOLDS_INVALID', 2, { folds: 2, sites: 2 }],
    ['FOLDS_INVALID', 2, { folds: 2, partition: 'by:center' }],
    ['DATASET_TOO_FEW_SUBJECTS', 3, { folds: 4, ratios: [1, 1, 0] as [number, number, number] }],
  ])('is refused with %s before the work (exit code %i) when it is asked for as %j', async (code, exitCode, more) => {
    const made = prepareDataset(optionsFor(await sourceOf(['a', 'b', 'c']), 'unused', { ...more, dryRun: true }))
    await expect(made).rejects.toMatchObject({ code, exitCode })
  })
})
