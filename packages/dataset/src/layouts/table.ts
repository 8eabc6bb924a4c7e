import { stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { readWholeFile } from '@meshfl/volume'
import { parse } from 'csv-parse/sync'
import type { Finding } from '../manifest.js'
import type { FoundCase, Layout } from './layout.js'
import { listFolder } from './volume-file.js'

/** A CSV or TSV file with the columns subject, image and label, or a folder with one `cases.tsv` or `cases.csv`. */
export const tableLayout: Layout = {
  name: 'table',
  looksFor: ({ image = 'image', label = 'label' }) =>
    `a .csv or .tsv (in a folder: cases.tsv or cases.csv) with the columns subject, ${image}, ${label}`,
  async find(source, { image = 'image', label = 'label' }) {
    const path = await locate(source)
    if (path === null) return null
    const rows = parseTable(await readWholeFile(path), path)
    const wanted = ['subject', image, label]
    const present = Object.keys(rows[0] ?? {})
    const missing = wanted.filter((column) => !present.includes(column))
    if (rows.length > 0 && missing.length > 0) {
      throw new MeshflError('TABLE_MALFORMED', `${path} has no column ${missing.join(', ')}`, {
        hint: `name the columns subject, image and label, or say which they are with --image and --label; it has: ${present.join(', ')}`,
        data: { path, present, missing },
      })
    }
    const cases: FoundCase[] = []
    const findings: Finding[] = []
    for (const [index, row] of rows.entries()) {
      const subject = row.subject!.trim()
      const paths = [image, label].map((column) => row[column]!.trim())
      const blank = wanted.filter((column) => row[column]!.trim() === '')
      if (blank.length > 0) {
        const only = blank.length === 1 && subject !== ''
        findings.push({
          level: 'warning',
          code: only ? (blank[0] === label ? 'IMAGE_WITHOUT_LABEL' : 'LABEL_WITHOUT_IMAGE') : 'TABLE_ROW_INCOMPLETE',
          message: `row ${index + 1} of the table has no ${blank.join(', ')}`,
          ...(subject === '' ? {} : { subject }),
        })
        continue
      }
      const [imagePath, labelPath] = paths.map((text) => resolve(dirname(path), text)) as [string, string]
      const columns = Object.fromEntries(Object.entries(row).filter(([column]) => !wanted.includes(column)))
      cases.push({ subject, image: imagePath, label: labelPath, columns })
    }
    return { cases, findings }
  },
}

async function locate(source: string): Promise<string | null> {
  if (/\.(csv|tsv)$/i.test(source)) {
    const found = await stat(source).catch(() => null)
    return found?.isFile() ? source : null
  }
  const listing = await listFolder(source)
  const tables = listing?.files.filter((name) => name === 'cases.tsv' || name === 'cases.csv') ?? []
  return tables.length === 1 ? join(source, tables[0]!) : null
}

/**
 * Rows of a CSV or TSV file by their header; every row has every column.
 * @throws MeshflError `TABLE_MALFORMED`
 */
export function parseTable(bytes: Uint8Array, path: string): Record<string, string>[] {
  try {
    return parse(Buffer.from(bytes), {
      bom: true,
      columns: true,
      delimiter: path.toLowerCase().endsWith('.tsv') ? '\t' : ',',
      skip_empty_lines: true,
      relax_quotes: true,
    }) as Record<string, string>[]
  } catch (error) {
    throw new MeshflError('TABLE_MALFORMED', `${path} is no table: ${(error as Error).message}`, {
      hint: 'save it as CSV (commas) or TSV (tabs) with one header line and the same number of fields in every row',
      data: { path },
      cause: error,
    })
  }
}
