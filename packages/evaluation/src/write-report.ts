import { join } from 'node:path'
import { writeFileAtomic } from '@meshfl/core'
import { renderCsv } from './render/csv.js'
import { renderHtml } from './render/html/page.js'
import { renderJson } from './render/json.js'
import { renderJunit } from './render/junit.js'
import { renderMarkdown } from './render/markdown.js'
import { renderNnunetSummary } from './render/nnunet.js'
import type { Report } from './report.js'
import type { CaseSlices } from './slices/slice-images.js'

/** Where the files of a report are. */
export interface ReportFiles {
  json: string
  html: string
  markdown: string
  junit: string
  csv: string
  nnunet: string
}

export function reportFiles(folder: string): ReportFiles {
  return {
    json: join(folder, 'report.json'),
    html: join(folder, 'report.html'),
    markdown: join(folder, 'report.md'),
    junit: join(folder, 'junit.xml'),
    csv: join(folder, 'cases.csv'),
    nnunet: join(folder, 'summary.json'),
  }
}

/**
 * Writes report.html, report.json, report.md, junit.xml, cases.csv and nnU-Net's summary.json, each atomically; report.json comes last, so that its
 * presence says that the report is whole.
 * @throws MeshflError `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export async function writeReport(
  folder: string,
  report: Report,
  slices: readonly CaseSlices[] = [],
): Promise<ReportFiles> {
  const files = reportFiles(folder)
  await writeFileAtomic(files.csv, renderCsv(report))
  await writeFileAtomic(files.nnunet, renderNnunetSummary(report))
  await writeFileAtomic(files.junit, renderJunit(report))
  await writeFileAtomic(files.markdown, renderMarkdown(report))
  await writeFileAtomic(files.html, renderHtml(report, slices))
  await writeFileAtomic(files.json, renderJson(report))
  return files
}
