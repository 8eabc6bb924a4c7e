import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EventSchema, type MeshflEvent } from '@meshfl/core'
import { describe, expect, test } from 'vitest'
import { buildReport } from './build-report.js'
import { evaluateCase } from './case-metrics.js'
import { foregroundGate, parseGate } from './gates.js'
import { renderHtml } from './render/html/page.js'
import { renderJson } from './render/json.js'
import { renderMarkdown } from './render/markdown.js'
import { ReportSchema, reportEvent } from './report.js'
import { curvesFromEvents, siteCurvesFromEvents } from './run-figures.js'
import { writeReport } from './write-report.js'

const classNames = ['background', 'white matter', 'grey matter']
const classes = classNames.map((name, value) => ({ name, value }))
const measure = (subject: string, truth: number[], prediction: number[], site?: string) =>
  evaluateCase({ subject, site, truth, prediction, classNames, voxelVolumeMl: 0.001 })

const good = measure('sub-good', [0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], 'north')
const poor = measure('sub-poor', [0, 0, 1, 1, 2, 2], [0, 2, 1, 0, 2, 1], 'south')
const base = {
  tool: 'meshfl 0.1.0',
  created: '2026-01-02T03:04:05.000Z',
  dataset: { name: 'cohort' },
  split: 'test',
  classes,
}

describe('a report', () => {
  test('means over cases leave background out of the headline, and the reference mean keeps it', () => {
    const report = buildReport({ ...base, cases: [good, poor] })
    expect(poor.perClass['white matter']?.dice).toBeCloseTo(0.5, 12)
    expect(poor.foregroundDice).toBeCloseTo(0.5, 12)
    expect(poor.meshflDice).toBeCloseTo(0.5, 12)
    expect(report.summary.foregroundDice).toMatchObject({
      cases: 2,
      leftOut: 0,
      mean: 0.75,
      median: 0.75,
      min: 0.5,
      max: 1,
    })
    expect(report.summary.foregroundDice.sd).toBeCloseTo(Math.SQRT1_2 / 2, 12)
    expect(report.gate).toBe('none')
  })

  test('a class that no case holds is left out, and how often is said', () => {
    const bare = measure('sub-bare', [0, 1, 1], [0, 1, 1])
    const report = buildReport({ ...base, cases: [bare] })
    expect(report.summary.perClass['grey matter']?.dice).toEqual({
      cases: 0,
      leftOut: 1,
      mean: null,
      sd: null,
      median: null,
      min: null,
      max: null,
      ci95: null,
    })
  })

  test('says of how many subjects its cases are where those are fewer, and gives no interval for few of them', () => {
    const scans = Array.from({ length: 12 }, (_, i) => ({ ...good, subject: `s${i % 4}_${i}`, scanOf: `s${i % 4}` }))
    const report = buildReport({ ...base, cases: scans })
    expect(report.summary.foregroundDice).toMatchObject({ cases: 12, subjects: 4, ci95: null })
    expect(renderMarkdown(report)).toContain('12 cases of 4 subjects')
    expect(renderHtml(report, [])).toContain('12 cases of 4 subjects')
    const alone = buildReport({ ...base, cases: scans.map(({ scanOf: _, ...one }) => one) })
    expect(alone.summary.foregroundDice.ci95).toEqual([1, 1])
    expect(renderJson(alone)).not.toContain('subjects')
  })

  test('has a summary for each site when cases name theirs', () => {
    const report = buildReport({ ...base, cases: [poor, good] })
    expect(report.sites?.map(({ site, cases, summary }) => [site, cases, summary.foregroundDice.mean])).toEqual([
      ['north', 1, 1],
      ['south', 1, 0.5],
    ])
    const { site: _, ...alone } = good
    expect(buildReport({ ...base, cases: [alone] }).sites).toBeUndefined()
  })

  test('comes back equal from its JSON, whose keys do not depend on the order of the input', () => {
    const report = buildReport({ ...base, cases: [good, poor], gates: [foregroundGate(0.7)], notes: ['one'] })
    const text = renderJson(report)
    expect(ReportSchema.parse(JSON.parse(text))).toEqual(report)
    const shuffled = Object.fromEntries(Object.entries(report).reverse()) as typeof report
    expect(renderJson(shuffled)).toBe(text)
    expect(Object.keys(JSON.parse(text) as object).slice(0, 3)).toEqual(['format', 'tool', 'created'])
  })

  test('refuses what is no report', () => {
    const report = buildReport({ ...base, cases: [good] })
    expect(ReportSchema.safeParse({ ...report, format: 'meshfl-report/0' }).success).toBe(false)
    expect(ReportSchema.safeParse({ ...report, extra: 1 }).success).toBe(false)
    expect(() => buildReport({ ...base, classes: [...classes, { name: 'background', value: 3 }], cases: [] })).toThrow(
      /share a name/,
    )
  })

  test('without cases holds no numbers instead of wrong ones', () => {
    const report = buildReport({ ...base, cases: [], gates: [foregroundGate(0)] })
    expect(report.summary.foregroundDice.mean).toBeNull()
    expect(report.gate).toBe('failed')
  })

  test('ends in the event that scripts read', () => {
    const event = reportEvent(
      buildReport({ ...base, cases: [good, poor], gates: [parseGate('foreground:dice=0.9')] }),
      'out',
    )
    expect(EventSchema.parse(event)).toEqual({
      type: 'report',
      cases: 2,
      foregroundDice: 0.75,
      dice: { 'white matter': 0.75, 'grey matter': 0.75 },
      gate: 'failed',
      path: 'out',
    })
  })

  test('takes its curves from the events of a run, the last of a repeated round', () => {
    const dice = (value: number) => ({ perClass: {}, foregroundDice: value })
    const round = (n: number, value: number): MeshflEvent => ({
      type: 'round-finished',
      time: '',
      round: n,
      rounds: 2,
      trainLoss: 1,
      trainDice: null,
      validLoss: null,
      validDice: dice(value),
      parametersSha256: '',
      seconds: 1,
      secondsLeft: null,
    })
    const log: MeshflEvent = { type: 'log', time: '', level: 'info', message: '' }
    expect(curvesFromEvents([round(2, 0.2), log, round(1, 0.1), round(2, 0.3)])).toEqual([
      { round: 1, trainLoss: 1, trainForegroundDice: null, validLoss: null, validForegroundDice: 0.1 },
      { round: 2, trainLoss: 1, trainForegroundDice: null, validLoss: null, validForegroundDice: 0.3 },
    ])
  })

  test('takes the curves of each site from the events of a federation, and draws a line for each', () => {
    const dice = (foregroundDice: number) => ({ perClass: {}, foregroundDice })
    const trained = (site: string, round: number): MeshflEvent => ({
      ...{ type: 'site-trained', time: '', site, round, loss: 1 / round, dice: dice(0.3) },
      ...{ samples: 3, seconds: 1, updateSha256: '' },
    })
    const evaluated = (site: string, round: number, cases = 2): MeshflEvent => ({
      ...{ type: 'site-evaluated', time: '', site, round, loss: 2, dice: dice(0.1 * round), cases },
    })
    const events = [1, 2].flatMap((round) => [
      ...[trained('site-2', round), trained('site-1', round)],
      ...[evaluated('site-1', round), evaluated('site-2', round, 0)],
    ])
    const siteCurves = siteCurvesFromEvents(events)
    expect(siteCurves.map(({ site }) => site)).toEqual(['site-1', 'site-2'])
    expect(siteCurves[0]!.points[1]).toEqual({
      ...{ round: 2, trainLoss: 0.5, trainForegroundDice: 0.3, validLoss: 2, validForegroundDice: 0.2 },
    })
    expect(siteCurves[1]!.points[1]!.validForegroundDice).toBeNull()
    expect(siteCurvesFromEvents(events.filter((event) => 'site' in event && event.site === 'site-1'))).toEqual([])
    const curves = [1, 2].map((round) => ({
      ...{ round, trainLoss: 1, trainForegroundDice: 0.3, validLoss: 2, validForegroundDice: 0.1 },
    }))
    const page = renderHtml(buildReport({ ...base, cases: [good], curves, siteCurves }), [])
    expect(page).toContain('Site by site')
    // Two lines of training loss, one of validation (the other site has no cases), two in the key.
    expect(page.match(/class="line site/g)).toHaveLength(5)
  })

  test('is written as six files', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'meshfl-report-'))
    try {
      const files = await writeReport(join(folder, 'report'), buildReport({ ...base, cases: [good, poor] }))
      for (const file of Object.values(files)) expect((await readFile(file, 'utf8')).length).toBeGreaterThan(100)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
