import { type Report, ReportSchema } from '../report.js'

/** report.json: the keys always stand in the order of the schema, so that two reports can be compared line by line. */
export function renderJson(report: Report): string {
  return `${JSON.stringify(ReportSchema.parse(report), null, 2)}\n`
}
