import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Baseline } from '../read-baseline.js'
import { escapeMarkdown } from '../render/escape.js'
import {
  buildExperiment,
  type Experiment,
  type ExperimentInput,
  ExperimentSchema,
  type ScoredRun,
} from './experiment.js'
import { renderExperimentMarkdown } from './render-markdown.js'
import { renderExperimentPage } from './render-page.js'

const NAMES = ['background', 'white matter', 'grey matter']
type Dice = [white: number | null, grey: number | null]

/** A report with the Dice of each case. */
function reportOf(cases: readonly Dice[], more: Partial<Baseline> = {}): Baseline {
  return {
    format: 'meshfl-report/1',
    created: '2026-01-01T00:00:00Z',
    model: { name: 'run', sha256: 'f'.repeat(64) },
    dataset: { name: 'brains', sha256: 'a'.repeat(64) },
    classes: NAMES.map((name) => ({ name })),
    conventions: { empty: 'nan' },
    cases: cases.map(([white, grey], i) => {
      const present = [white, grey].filter((x) => x !== null)
      const of = (dice: number | null) => ({ dice, truthMl: 1 })
      return {
        subject: `sub-${i}`,
        foregroundDice: present.length === 0 ? null : present.reduce((a, b) => a + b, 0) / present.length,
        meshflDice: 0.9,
        perClass: { background: of(1), 'white matter': of(white), 'grey matter': of(grey) },
        confusion: [],
      }
    }),
    ...more,
  }
}

/** @param ofFirst what the runs of the first arm have otherwise */
function experimentOf(
  arms: Record<string, Baseline[]>,
  more: Partial<ExperimentInput> = {},
  ofFirst: Partial<ScoredRun> = {},
) {
  const seeds = Object.values(arms)[0]!.map((_, i) => i)
  return buildExperiment({
    ...{ tool: 'meshfl 0', created: '2026-01-02T00:00:00Z', split: 'test', seeds },
    arms: Object.entries(arms).map(([name, reports], i) => ({
      ...{ name, how: 'train', dataset: 'brains' },
      runs: reports.map((report, seed) => ({
        seed,
        path: `${name}/seed-${seed}`,
        rounds: 2,
        engines: ['wasm'],
        evaluations: 1,
        report,
        notes: [],
        ...(i === 0 ? ofFirst : {}),
      })),
    })),
    ...more,
  })
}

describe('an experiment', () => {
  test('has the mean and the spread of each arm over its seeds', () => {
    const { arms } = experimentOf({
      a: [
        reportOf([
          [0.8, 0.6],
          [0.6, 0.4],
        ]),
        reportOf([
          [0.9, 0.7],
          [0.7, 0.5],
        ]),
      ],
    })
    const { foreground, 'white matter': white } = arms[0]!.dice
    expect(foreground).toMatchObject({
      cases: 2,
      mean: expect.closeTo(0.65, 12),
      sd: expect.closeTo(0.1 / Math.SQRT2, 12),
    })
    expect(white).toMatchObject({ min: expect.closeTo(0.7, 12), max: expect.closeTo(0.8, 12) })
    expect(arms[0]).not.toHaveProperty('differences')
  })

  test('compares with the first arm by what each case has on average over the seeds', () => {
    const first = [
      reportOf([
        [0.8, 0.8],
        [0.6, 0.6],
      ]),
      reportOf([
        [0.6, 0.6],
        [0.6, 0.6],
      ]),
    ]
    const other = [
      reportOf([
        [0.9, 0.9],
        [0.5, 0.5],
      ]),
      reportOf([
        [0.9, 0.9],
        [0.6, 0.6],
      ]),
    ]
    const [foreground] = experimentOf({ first, other }).arms[1]!.differences!
    // 0.9 - 0.7 and 0.55 - 0.6
    expect(foreground).toMatchObject({ cases: 2, difference: expect.closeTo(0.075, 12), better: 1, worse: 1 })
  })

  test('is no more certain for being trained with the same outcome again', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.float({ min: 0, max: 1, noNaN: true }), fc.float({ min: 0, max: 1, noNaN: true })), {
          minLength: 3,
          maxLength: 8,
        }),
        fc.integer({ min: 2, max: 5 }),
        (pairs, times) => {
          const [a, b] = [0, 1].map((i) => reportOf(pairs.map((pair) => [pair[i]!, pair[i]!]))) as [Baseline, Baseline]
          const p = (n: number) =>
            experimentOf({ a: Array(n).fill(a), b: Array(n).fill(b) }).arms[1]!.differences!.map((one) => one.p)
          expect(p(times)).toEqual(p(1))
        },
      ),
      { numRuns: 30 },
    )
  })

  test('adjusts p-values for the figures of all arms', () => {
    const cases: Dice[] = Array.from({ length: 8 }, (_, i) => [0.5 + 0.01 * i, 0.5 + 0.01 * i])
    const better = cases.map(([white, grey]): Dice => [white! + 0.1, grey! + 0.1])
    const two = experimentOf({ a: [reportOf(cases)], b: [reportOf(better)] }).arms[1]!.differences!
    const three = experimentOf({ a: [reportOf(cases)], b: [reportOf(better)], c: [reportOf(better)] })
    expect(two.map(({ p, pHolm }) => [p, pHolm])).toEqual(Array(3).fill([2 / 256, 6 / 256]))
    expect(three.arms.flatMap(({ differences }) => differences ?? []).map(({ pHolm }) => pHolm)).toEqual(
      Array(6).fill(12 / 256),
    )
    // The larger one is multiplied by how many are not smaller.
    const mixed = cases.map(([white, grey], i): Dice => [white! + (i === 0 ? -0.1 : 0.1), grey! + 0.1])
    const [foreground, white, grey] = experimentOf({ a: [reportOf(cases)], b: [reportOf(mixed)] }).arms[1]!.differences!
    expect(grey).toMatchObject({ p: 2 / 256, pHolm: 6 / 256 })
    expect(foreground!.p).toBeGreaterThan(2 / 256)
    expect(white!.pHolm).toBe(Math.max(2 * Math.min(foreground!.p!, white!.p!), Math.max(foreground!.p!, white!.p!)))
  })

  test('leaves out a case that has no Dice in any training, and holds what one arm found wrongly against it', () => {
    const { arms } = experimentOf({
      a: [
        reportOf([
          [null, 0.5],
          [0.5, 0.5],
        ]),
      ],
      b: [
        reportOf([
          [0, 0.5],
          [0.5, 0.5],
        ]),
      ],
    })
    const white = arms[1]!.differences![1]!
    expect(white).toMatchObject({ class: 'white matter', cases: 2, difference: -0.5, worse: 1 })
    const none = experimentOf({ a: [reportOf([[null, 0.5]])], b: [reportOf([[null, 0.4]])] }).arms[1]!.differences![1]!
    expect(none).toMatchObject({ cases: 0, leftOut: 1, difference: null, p: null })
  })

  test('brings along what the reports of its runs note', () => {
    const noted = reportOf([[0.5, 0.5]], { notes: ['one of them was trained on'] })
    const built = experimentOf({ a: [reportOf([[0.5, 0.5]]), noted] })
    expect(built.notes).toEqual(['a, seed 1: one of them was trained on'])
    expect(experimentOf({ a: [noted, noted] }).notes).toEqual(['a, seeds 0, 1: one of them was trained on'])
    expect(renderExperimentPage(built)).toContain('a, seed 1: one of them was trained on')
  })

  test('notes what its page says: models that were scored before, cases for validation, several engines', () => {
    const of = (run: Partial<ScoredRun>, split = 'test') =>
      experimentOf({ a: [reportOf([[0.5, 0.5]])], b: [reportOf([[0.5, 0.5]])] }, { split }, run)
    const notesOf = (built: Experiment): string => {
      for (const note of built.notes) {
        expect(renderExperimentPage(built)).toContain(note)
        expect(renderExperimentMarkdown(built)).toContain(escapeMarkdown(note))
      }
      return built.notes.join(' ')
    }
    expect(notesOf(of({}))).toBe('')
    expect(notesOf(of({ evaluations: 3 }))).toContain('up to 3 times')
    expect(notesOf(of({ evaluations: 3 }, 'valid'))).not.toContain('up to 3 times')
    expect(notesOf(of({}, 'valid'))).toContain('chose its best round by them')
    expect(notesOf(of({ engines: ['cpu'] }))).toContain('one engine and precision: cpu; wasm.')
    expect(notesOf(of({ engines: ['cpu', 'wasm'] }))).toContain('one engine and precision: cpu, then wasm; wasm.')
    expect(renderExperimentPage(of({ engines: ['cpu', 'wasm'] }))).toContain('<td>cpu, then wasm</td>')
    const one = experimentOf({ a: [reportOf([[0.5, 0.5]])] }, {}, { engines: ['cpu', 'wasm'] })
    expect(notesOf(one)).toContain('one engine and precision: cpu, then wasm.')
  })

  test('has a note once that the report of a run and the experiment both have', () => {
    const twice = { notes: ['one of them was trained on'] }
    expect(experimentOf({ a: [reportOf([[0.5, 0.5]], twice)] }, {}, twice).notes).toEqual([
      'a, seed 0: one of them was trained on',
    ])
  })

  test('does not take rounding for a difference', () => {
    const seeds = (...dice: number[]) => dice.map((one) => reportOf(Array(8).fill([one, one])))
    // 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in their last bit.
    const { arms } = experimentOf({ a: seeds(0.3, 0.2, 0.1), b: seeds(0.1, 0.2, 0.3) })
    expect(arms[1]!.differences![0]).toMatchObject({ cases: 8, difference: 0, better: 0, worse: 0, p: 1 })
  })

  test('is of runs that were all scored on the same cases', () => {
    const two: Dice[] = [
      [0.5, 0.5],
      [0.6, 0.6],
    ]
    for (const other of [two.slice(1), [...two, ...two]])
      expect(() => experimentOf({ a: [reportOf(two)], b: [reportOf(other)] })).toThrow(
        expect.objectContaining({ code: 'EXPERIMENT_CHANGED', message: expect.stringContaining('b/seed-0') }),
      )
  })
})

test('its page links to every report, runs nothing, loads nothing, and has no markup of a name', () => {
  const one = reportOf([[0.5, null]], { dataset: { name: '<b>brains' } })
  const built = experimentOf({ 'a b': [one], c: [one] })
  expect(ExperimentSchema.parse(JSON.parse(JSON.stringify(built)))).toEqual(built)
  const page = renderExperimentPage(built)
  expect(page).toContain('href="./a%20b/seed-0/report-test/report.html"')
  expect(page).toContain('&lt;b&gt;brains')
  expect(page).not.toMatch(/<b>brains|<script|https?:|NaN|undefined/)
  expect(renderExperimentMarkdown(built)).not.toMatch(/NaN|undefined|<b>/)
})
