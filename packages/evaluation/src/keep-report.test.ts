import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildReport, type ReportInput } from './build-report.js'
import { evaluateCase } from './case-metrics.js'
import { foregroundGate } from './gates.js'
import { keepReport } from './keep-report.js'
import { writeReport } from './write-report.js'

const classNames = ['background', 'tissue']
const cases = [
  evaluateCase({ subject: 'a', truth: [0, 1, 1], prediction: [0, 1, 0], classNames, voxelVolumeMl: 0.001 }),
]
const reportOf = (change: Partial<ReportInput> = {}) =>
  buildReport({
    ...{ tool: 'meshfl', dataset: { name: 'cohort' }, split: 'test', cases },
    classes: classNames.map((name, value) => ({ name, value })),
    ...change,
  })

describe('a report that a new one would replace', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'meshfl-keep-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test('is kept with all its files where the new one has other scores', async () => {
    for (const change of [
      { model: { name: 'run', sha256: 'other' } },
      { dataset: { name: 'another' } },
      { split: 'valid' },
      { cases: [] },
    ]) {
      await writeReport(folder, reportOf())
      const before = readFileSync(join(folder, 'report.json'), 'utf8')
      const kept = await keepReport(folder, reportOf(change))
      expect(readdirSync(kept!).sort()).toEqual([
        ...['cases.csv', 'junit.xml', 'report.html', 'report.json', 'report.md', 'summary.json'],
      ])
      expect(readFileSync(join(kept!, 'report.json'), 'utf8')).toBe(before)
      expect(existsSync(join(folder, 'report.json'))).toBe(false)
    }
  })

  test('is called by when it was written, and takes the place of no other', async () => {
    const written = new Date('2026-01-02T03:04:05.678Z')
    const keep = async (): Promise<string | undefined> => {
      await writeReport(folder, reportOf())
      utimesSync(join(folder, 'report.json'), written, written)
      return keepReport(folder, reportOf({ split: 'valid' }))
    }
    expect(await keep()).toBe(join(folder, 'earlier-20260102T030405Z'))
    expect(await keep()).toBe(join(folder, 'earlier-20260102T030405Z-2'))
  })

  test('is replaced where the new one counts the same voxels, whatever its conventions, gates and notes', async () => {
    await writeReport(folder, reportOf())
    const again = reportOf({ evaluations: 2, gates: [foregroundGate(0.9)], notes: ['again'] })
    expect(await keepReport(folder, again)).toBeUndefined()
    expect(await keepReport(folder, reportOf({ conventions: { empty: 'one' } }))).toBeUndefined()
    expect(await keepReport(join(folder, 'nowhere'), again)).toBeUndefined()
  })

  test('is replaced where it has no cases, as the run tells it again', async () => {
    await writeReport(folder, reportOf({ cases: [], split: null }))
    expect(await keepReport(folder, reportOf())).toBeUndefined()
  })

  test('is kept where it cannot be read as one', async () => {
    for (const text of ['', '{', '[]', 'null', '{"cases":5}']) {
      writeFileSync(join(folder, 'report.json'), text)
      expect(readFileSync(join((await keepReport(folder, reportOf()))!, 'report.json'), 'utf8')).toBe(text)
    }
  })
})
