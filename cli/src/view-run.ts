import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ViewerDocument } from '@meshfl/viewer'

/** The reports in a run's folder: of its evaluations, and of the run alone. */
export function runReports(run: string): ViewerDocument[] {
  return readdirSync(run)
    .filter((name) => name === 'report' || name.startsWith('report-'))
    .sort()
    .map((title) => ({ title, path: join(run, title, 'report.html') }))
    .filter(({ path }) => existsSync(path))
}
