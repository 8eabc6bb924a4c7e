import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkBaseline, compareWithBaseline } from './baseline.js'
import { buildReport } from './build-report.js'
import { evaluateCase } from './case-metrics.js'
import { dropGates, judgeDrop } from './drop-gate.js'
import { type Baseline, BaselineSchema, baselineFile, readBaseline } from './read-baseline.js'
import { renderJson } from './render/json.js'

const classNames = ['background', 'white matter', 'grey matter']
const classes = classNames.map((name, value) => ({ name, value }))
const TRUTH = [0, 0, 1, 1, 2, 2]
const measure = (subject: string, prediction: number[], truth: number[] = TRUTH) =>
  evaluateCase({ subject, truth, prediction, classNames, voxelVolumeMl: 0.001 })
const perfect = (subject: string) => measure(subject, TRUTH)
/** White matter 2/3, grey matter 1. */
const poor = (subject: string) => measure(subject, [0, 0, 1, 0, 2, 2])
const reportOf = (cases: ReturnType<typeof measure>[]) =>
  buildReport({ tool: 'meshfl', dataset: { name: 'cohort' }, split: 'test', classes, cases })
const baselineOf = (cases: ReturnType<typeof measure>[]): Baseline => BaselineSchema.parse(reportOf(cases))

describe('a comparison with a baseline', () => {
  test('pairs cases by subject, whatever their order, and names those without a partner', () => {
    const comparison = compareWithBaseline(
      [perfect('b'), poor('a'), perfect('new')],
      classNames,
      baselineOf([perfect('old'), perfect('a'), poor('b')]),
    )
    expect(comparison).toMatchObject({ onlyHere: ['new'], onlyInBaseline: ['old'] })
    const white = comparison.differences.find((one) => one.class === 'white matter')!
    expect(white).toMatchObject({ cases: 2, better: 1, worse: 1, difference: 0, p: 1 })
    expect(comparison.differences.map((one) => one.class)).toEqual(['foreground', 'white matter', 'grey matter'])
  })

  test('has the mean difference with its interval, and p-values adjusted for the rows', () => {
    const subjects = Array.from({ length: 10 }, (_, i) => `s${i}`)
    const { differences } = compareWithBaseline(subjects.map(poor), classNames, baselineOf(subjects.map(perfect)))
    const [foreground, white, grey] = differences
    expect(white!.difference).toBeCloseTo(-1 / 3, 12)
    expect(white!.ci95![0]).toBeCloseTo(-1 / 3, 12)
    expect(white).toMatchObject({ worse: 10, better: 0, p: 2 / 1024, pHolm: 6 / 1024 })
    expect(foreground!.difference).toBeCloseTo(-1 / 6, 12)
    expect(grey).toMatchObject({ difference: 0, worse: 0, better: 0, p: 1, pHolm: 1 })
  })

  test('takes all scans of a subject as one draw, and says of how many subjects they are', () => {
    const scans = (measured: typeof poor) =>
      Array.from({ length: 20 }, (_, i) => ({ ...measured(`s${i % 10}_${i}`), scanOf: `s${i % 10}` }))
    const whiteOf = (here: ReturnType<typeof scans>, before: ReturnType<typeof scans>) =>
      compareWithBaseline(here, classNames, baselineOf(before)).differences[1]!
    const white = whiteOf(scans(poor), scans(perfect))
    expect(white).toMatchObject({ cases: 20, subjects: 10, worse: 20, p: 2 / 1024 })
    // Where only one of the reports knows whose they are, that is enough.
    const nameless = (cases: ReturnType<typeof scans>) => cases.map(({ scanOf: _, ...one }) => one as (typeof cases)[0])
    expect(whiteOf(nameless(scans(poor)), scans(perfect))).toEqual(white)
    expect(whiteOf(scans(poor), nameless(scans(perfect)))).toEqual(white)
    expect(whiteOf(nameless(scans(poor)), nameless(scans(perfect)))).not.toHaveProperty('subjects')
  })

  test('counts what one of them finds wrongly where there is nothing, and leaves out what neither finds', () => {
    const truth = [0, 0, 1, 1, 0, 0]
    const rightlyNone = measure('a', truth, truth)
    const wrongly = measure('a', [0, 0, 1, 1, 0, 2], truth)
    const grey = (here: typeof wrongly, before: typeof wrongly) =>
      compareWithBaseline([here], classNames, baselineOf([before])).differences[2]
    expect(grey(wrongly, rightlyNone)).toMatchObject({ cases: 1, difference: -1, worse: 1 })
    expect(grey(rightlyNone, wrongly)).toMatchObject({ cases: 1, difference: 1, better: 1 })
    expect(grey(rightlyNone, rightlyNone)).toMatchObject({
      ...{ cases: 0, leftOut: 1, difference: null, ci95: null, p: null, pHolm: null },
    })
  })

  test('of a single class has one row: it is the foreground', () => {
    const [one] = [
      evaluateCase({
        subject: 'a',
        truth: [0, 1],
        prediction: [0, 1],
        classNames: ['background', 'foreground'],
        voxelVolumeMl: 1,
      }),
    ]
    const baseline = { ...baselineOf([]), classes: [{ name: 'background' }, { name: 'foreground' }], cases: [one!] }
    const comparison = compareWithBaseline([one!], ['background', 'foreground'], BaselineSchema.parse(baseline))
    expect(comparison.differences.map((row) => row.class)).toEqual(['foreground'])
  })

  test('names the cases whose truth is another', () => {
    const other = measure('a', TRUTH, [0, 0, 1, 1, 1, 2])
    const comparison = compareWithBaseline([other, perfect('b')], classNames, baselineOf([perfect('a'), perfect('b')]))
    expect(comparison.otherTruth).toEqual(['a'])
  })

  test('with itself finds no difference', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 6, maxLength: 6 }), {
          minLength: 1,
          maxLength: 8,
        }),
        (predictions) => {
          const cases = predictions.map((prediction, i) => measure(`s${i}`, prediction))
          for (const one of compareWithBaseline(cases, classNames, baselineOf(cases)).differences) {
            expect([0, null]).toContain(one.difference)
            expect([one.better, one.worse]).toEqual([0, 0])
          }
        },
      ),
    )
  })

  test('is refused before scoring where classes, the convention for 0/0 or all subjects are others', () => {
    const baseline = baselineOf([perfect('a')])
    const here = { subjects: ['a'], classNames, empty: 'nan' } as const
    expect(() => checkBaseline(baseline, here)).not.toThrow()
    for (const other of [
      { classNames: ['background', 'white matter'] },
      { empty: 'one' as const },
      { subjects: ['b'] },
    ])
      expect(() => checkBaseline(baseline, { ...here, ...other })).toThrow(
        expect.objectContaining({ code: 'EVAL_BASELINE_MISMATCH', exitCode: 3 }),
      )
  })
})

describe('a gate on what may be lost', () => {
  const judge = (cases: ReturnType<typeof measure>[], before: ReturnType<typeof measure>[], maxDrop: number) => {
    const comparison = compareWithBaseline(cases, classNames, baselineOf(before))
    return dropGates(classNames, maxDrop).map((gate) => judgeDrop(gate, comparison))
  }

  test('holds for the foreground and for every class: what one gains does not make up for another', () => {
    const swapped = measure('a', [0, 0, 1, 1, 2, 0])
    const outcomes = judge([poor('a')], [swapped], 0.01)
    expect(outcomes.map((one) => [one.class, one.outcome])).toEqual([
      ['foreground', 'passed'],
      ['white matter', 'failed'],
      ['grey matter', 'passed'],
    ])
    expect(outcomes[1]!.reason).toBe(
      "white matter dice is 0.6667, 0.3333 below the baseline's 1.0000, over 1 case; it may be 0.01 below at most",
    )
  })

  test('allows exactly what it says, though no double is a hundredth', () => {
    const before = [{ ...perfect('a'), foregroundDice: 0.85 }]
    const after = [{ ...perfect('a'), foregroundDice: 0.84 }]
    expect(judge(after, before, 0.01)[0]!.outcome).toBe('passed')
    const [failed] = judge([{ ...perfect('a'), foregroundDice: 0.83999 }], before, 0.01)
    expect(failed).toMatchObject({ outcome: 'failed', reason: expect.stringMatching(/0\.0100\d+ below/) })
  })

  test('fails without cases to compare, and where the truth is another', () => {
    expect(judge([perfect('a')], [perfect('b')], 1).map((one) => one.outcome)).toEqual(['failed', 'failed', 'failed'])
    const other = measure('a', [0, 0, 1, 1, 1, 2], [0, 0, 1, 1, 1, 2])
    const outcomes = judge([other, perfect('b')], [perfect('a'), perfect('b')], 1)
    expect(outcomes.map((one) => one.outcome)).toEqual(['failed', 'failed', 'failed'])
    expect(outcomes[0]!.reason).toBe('the truth of a is not that of the baseline: score that again')
  })

  test('is not held against a class that is in no case', () => {
    const truth = [0, 0, 1, 1, 0, 0]
    const [foreground, white, grey] = judge([measure('a', truth, truth)], [measure('a', truth, truth)], 0)
    expect([foreground, white, grey].map((one) => one!.outcome)).toEqual(['passed', 'passed', 'passed'])
    expect(grey!.reason).toBe('no case has any grey matter, here or in the baseline')
    expect(white!.reason).toContain('equal to the baseline')
  })

  test('sees a class that is found wrongly where the baseline rightly found nothing', () => {
    const truth = [0, 0, 1, 1, 0, 0]
    const subjects = ['a', 'b', 'c']
    const wrong = subjects.map((subject) => measure(subject, [0, 0, 1, 1, 0, 2], truth))
    const right = subjects.map((subject) => measure(subject, truth, truth))
    expect(judge(wrong, right, 0.5).map((one) => one.outcome)).toEqual(['passed', 'passed', 'failed'])
  })
})

describe('the file of a baseline', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'meshfl-baseline-'))
    mkdirSync(join(folder, 'run', 'report'), { recursive: true })
    mkdirSync(join(folder, 'run', 'report-valid'))
    writeFileSync(join(folder, 'run/report-valid/report.json'), renderJson(reportOf([perfect('a'), perfect('b')])))
    writeFileSync(join(folder, 'run/report/report.json'), renderJson(reportOf([perfect('a')])))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test.each(['run', 'run/report', 'run/report/report.json'])('is found by %s', async (name) => {
    expect((await readBaseline(await baselineFile(join(folder, name), 'test'))).cases).toHaveLength(1)
  })

  test('is found by a run, for the split that is scored', async () => {
    expect((await readBaseline(await baselineFile(join(folder, 'run'), 'valid'))).cases).toHaveLength(2)
  })

  test('of another version may hold more than is read, and lack what was added since', async () => {
    const report = JSON.parse(renderJson(reportOf([perfect('a')])))
    for (const statistic of Object.values(report.summary)) delete (statistic as { ci95?: unknown }).ci95
    writeFileSync(join(folder, 'other.json'), JSON.stringify({ ...report, later: { more: true } }))
    expect((await readBaseline(join(folder, 'other.json'))).cases).toHaveLength(1)
  })

  test('without surfaces can be compared with where they are measured, and the other way round', async () => {
    const surface = { kind: 'surfel', toleranceMm: 1 } as const
    const withSurfaces = evaluateCase({
      ...{ subject: 'a', truth: TRUTH, prediction: TRUTH, classNames, voxelVolumeMl: 0.001 },
      surfaces: { convention: surface, shape: [6, 1, 1], voxelSizeMm: [1, 1, 1] },
    })
    const input = { tool: 'meshfl', dataset: { name: 'cohort' }, split: 'test', classes, conventions: { surface } }
    const [plain, measured] = [reportOf([perfect('a')]), buildReport({ ...input, cases: [withSurfaces] })]
    for (const [here, there] of [
      [measured, plain],
      [plain, measured],
    ] as const) {
      writeFileSync(join(folder, 'other.json'), renderJson(there))
      const baseline = await readBaseline(join(folder, 'other.json'))
      checkBaseline(baseline, { subjects: ['a'], classNames, empty: 'nan' })
      expect(buildReport({ ...here, baseline, gates: [] }).baseline?.differences[0]).toMatchObject({ difference: 0 })
    }
  })

  test('that is none is refused by its name', async () => {
    const report = JSON.parse(renderJson(reportOf([perfect('a')])))
    const [one] = report.cases
    const broken = [
      { ...report, format: 'meshfl-report/2' },
      { ...report, cases: [one, one] },
      { ...report, cases: [{ ...one, foregroundDice: 1e308 }] },
      { ...report, cases: [{ ...one, perClass: {} }] },
    ].map((value) => JSON.stringify(value))
    for (const text of ['', '{', '{}', '[]', 'null', ...broken]) {
      writeFileSync(join(folder, 'none.json'), text)
      await expect(readBaseline(join(folder, 'none.json'))).rejects.toMatchObject({
        ...{ code: 'EVAL_BASELINE_MALFORMED', exitCode: 3 },
      })
    }
    await expect(readBaseline(join(folder, 'nowhere.json'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
  })
})
