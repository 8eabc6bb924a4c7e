import { csvCell } from '@meshfl/core'
import { metricsOf } from '../metrics/registry.js'
import type { Report } from '../report.js'

/** cases.csv: a row for each case and class, the two means of the case repeated in each. Empty: no value. */
export function renderCsv(report: Report): string {
  const metrics = metricsOf(report.conventions.surface)
  const header = ['subject', 'site', 'class', ...metrics.map((metric) => metric.id), 'foregroundDice', 'meshflDice']
  const rows = report.cases.flatMap((one) =>
    report.classes.map(({ name }) => [
      csvCell(one.subject),
      csvCell(one.site ?? ''),
      csvCell(name),
      ...metrics.map((metric) => number(one.perClass[name]?.[metric.id])),
      number(one.foregroundDice),
      number(one.meshflDice),
    ]),
  )
  return [header, ...rows].map((row) => `${row.join(',')}\n`).join('')
}

function number(value: number | null | undefined): string {
  return value === null || value === undefined ? '' : String(value)
}
