import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { explainReadError } from '@meshfl/core'
import type { ViewerDocument } from '@meshfl/viewer'

/** The reports that are in a run's folder now: of its evaluations, and of the run alone. */
export function runReports(run: string): ViewerDocument[] {
  return namesIn(run)
    .filter((name) => name === 'report' || name.startsWith('report-'))
    .sort()
    .map((title) => ({ title, path: join(run, title, 'report.html') }))
    .filter(({ path }) => existsSync(path))
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    throw explainReadError(error, folder)
  }
}
