import { describe, expect, test } from 'vitest'
import { buildReport } from '../build-report.js'
import { evaluateCase } from '../case-metrics.js'
import { parseGate } from '../gates.js'
import { ReportSchema } from '../report.js'
import type { SurfaceConvention } from '../surface/surface-distances.js'
import { renderCsv } from './csv.js'
import { renderHtml } from './html/page.js'
import { renderJson } from './json.js'
import { renderJunit } from './junit.js'
import { renderMarkdown } from './markdown.js'

const classNames = ['background', 'white matter', 'grey matter']

/** Labels along a line of voxels, 2 mm long: white matter is off by one of them, and grey matter is missed in `missed`. */
function reportOf(surface?: SurfaceConvention) {
  const measure = (subject: string, prediction: number[]) =>
    evaluateCase({
      ...{ subject, truth: [0, 1, 0, 2, 0], prediction, classNames, voxelVolumeMl: 0.002 },
      surfaces: surface && { convention: surface, shape: [5, 1, 1], voxelSizeMm: [2, 1, 1] },
    })
  return buildReport({
    ...{ tool: 'meshfl', dataset: { name: 'cohort' } },
    classes: classNames.map((name, value) => ({ name, value })),
    conventions: { surface },
    cases: [measure('shifted', [1, 0, 0, 2, 0]), measure('missed', [0, 1, 0, 0, 0])],
    gates: surface ? [parseGate('white matter:hd=1', 'max'), parseGate('white matter:nsd=0.5')] : [],
  })
}
const report = reportOf({ kind: 'voxel', toleranceMm: 1.5 })

describe('a report of surfaces', () => {
  test('has their metrics of every class but background, and how they were measured', () => {
    expect(report.conventions).toEqual({ empty: 'nan', surface: { kind: 'voxel', toleranceMm: 1.5 } })
    expect(report.summary.perClass['white matter']).toMatchObject({ hd: { mean: 1, max: 2 }, nsd: { mean: 0.5 } })
    expect(report.summary.perClass['grey matter']).toMatchObject({
      ...{ hd95: { cases: 1, leftOut: 1 }, nsd: { cases: 2, leftOut: 0, mean: 0.5 } },
    })
    expect(Object.keys(report.summary.perClass.background!)).not.toContain('hd')
    expect(ReportSchema.parse(JSON.parse(renderJson(report)))).toEqual(report)
  })

  test('says the convention and the tolerance in the page and in the summary, beside the figures', () => {
    const page = renderHtml(report, [])
    expect(page).toContain('>NSD at 1.5 mm</th>')
    expect(page).toContain('by the convention voxel')
    expect(renderMarkdown(report)).toContain(
      '| Class | NSD at 1.5 mm | HD95 mm | ASSD mm | HD mm | Distances left out |',
    )
    expect(renderMarkdown(report)).toContain('| grey matter | 0.500 | 0.00 | 0.00 | 0.00 | 1 |')
    for (const text of [page, renderMarkdown(report)]) expect(text).toContain('(voxel, as MONAI and MetricsReloaded)')
    expect(renderMarkdown(reportOf({ kind: 'surfel', toleranceMm: 1 }))).toContain('surfel, as DeepMind')
  })

  test('has a column for each of them in cases.csv, empty where there is no number', () => {
    const [header, ...rows] = renderCsv(report).trim().split('\n')
    expect(header).toContain(',volumeErrorMl,nsd,hd95,assd,hd,foregroundDice,')
    expect(rows.find((row) => row.startsWith('shifted,,white matter'))).toContain(',0,2,2,2,')
    expect(rows.find((row) => row.startsWith('missed,,grey matter'))).toContain(',0,,,,')
    expect(rows.find((row) => row.startsWith('shifted,,background'))).toContain(',,,,')
  })

  test('has in JUnit a case for each of them, and a suite for a maximum in which the subjects above it fail', () => {
    const text = renderJunit(reportOf({ kind: 'voxel', toleranceMm: 1 }))
    expect(text).toContain('name="gate: white matter hd &lt;= 1" tests="3" failures="0"')
    expect(text).toContain('<testcase classname="shifted" name="white matter: hd95" time="0"><system-out>2<')
    expect(text).toContain(
      'name="grey matter: hd" time="0"><skipped message="no value: the class is not in both volumes"/>',
    )
    const failed = { ...report, gates: [{ ...report.gates[0]!, max: 0.5, outcome: 'failed' as const }] }
    expect(renderJunit(ReportSchema.parse(failed))).toContain('<failure message="white matter: hd is 2, above 0.5"/>')
  })

  test('says nothing of surfaces where they were not measured', () => {
    const plain = reportOf()
    for (const text of [renderHtml(plain, []), renderMarkdown(plain), renderCsv(plain), renderJunit(plain)])
      expect(text).not.toMatch(/surface|nsd|hd95/i)
  })
})
