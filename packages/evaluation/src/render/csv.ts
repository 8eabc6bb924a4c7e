import { METRICS } from '../metrics/registry.js'
import type { Report } from '../report.js'

/** cases.csv: a row for each case and class, the two means of the case repeated in each. Empty: no value. */
export function renderCsv(report: Report): string {
  const header = ['subject', 'site', 'class', ...METRICS.map((metric) => metric.id), 'foregroundDice', 'meshflDice']
  const rows = report.cases.flatMap((one) =>
    report.classes.map(({ name }) => [
      text(one.subject),
      text(one.site ?? ''),
      text(name),
      ...METRICS.map((metric) => number(one.perClass[name]?.[metric.id])),
      number(one.foregroundDice),
      number(one.meshflDice),
    ]),
  )
  return [header, ...rows].map((row) => `${row.join(',')}\n`).join('')
}

function number(value: number | null | undefined): string {
  return value === null || value === undefined ? '' : String(value)
}

/** A spreadsheet takes text that begins with one of these for a formula; a leading apostrophe keeps it text. */
function text(value: string): string {
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
