import { stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { readWholeFile } from '@meshfl/volume'
import { parse } from 'csv-parse/sync'
import type { FoundCase, FoundFinding, Layout } from './layout.js'
import { listFolder } from './volume-file.js'

/** A CSV or TSV file with the columns subject, image and label, or a folder with one `cases.tsv` or `cases.csv`. */
export const tableLayout: Layout = {
  name: 'table',
  looksFor: ({ image = 'image', label = 'label' }) =>
    `a .csv or .tsv (in a folder: cases.tsv or cases.csv) with the columns subject, ${image}, ${label}`,
  async find(source, { image = 'image', label = 'label' }) {
    const path = await locate(source)
    if (path === null) return null
    const bytes = await readWholeFile(path)
    const rows = parseTable(bytes, path)
    if (rows.length === 0) {
      const what = bytes.toString('utf8').trim() === '' ? 'is empty' : 'has a header line and no rows'
      throw malformed(path, what, 'list one case in each row, or move the table away')
    }
    const wanted = ['subject', image, label]
    const present = Object.keys(rows[0] ?? {})
    const missing = wanted.filter((column) => !present.includes(column))
    if (missing.length > 0) {
      throw new MeshflError('TABLE_MALFORMED', `${path} has no column ${missing.join(', ')}`, {
        hint: `name the columns subject, image and label, or say which they are with --image and --label; it has: ${present.join(', ')}`,
        data: { path, present, missing },
      })
    }
    const cases: FoundCase[] = []
    const findings: FoundFinding[] = []
    for (const [index, row] of rows.entries()) {
      // One name, though one program writes its letters composed and another one not.
      const subject = row.subject!.trim().normalize('NFC')
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
  if (tables.length > 1) {
    throw new MeshflError('TABLE_AMBIGUOUS', `${source} holds both cases.csv and cases.tsv`, {
      hint: 'keep one of the two, or give the path of the one that is meant',
      data: { source, tables },
    })
  }
  return tables.length === 1 ? join(source, tables[0]!) : null
}

/**
 * Rows of a CSV or TSV file by their header; every row has every column.
 * @throws MeshflError `TABLE_MALFORMED`
 */
export function parseTable(bytes: Uint8Array, path: string): Record<string, string>[] {
  // Every second byte of the words in a header is 0 in UTF-16; as UTF-8 the columns would have names that look right and are not.
  if (bytes.subarray(0, 64).includes(0)) throw malformed(path, 'is UTF-16 text, or no text', SAVE_AS)
  try {
    return parse(Buffer.from(bytes), {
      bom: true,
      columns: (header: string[]) =>
        withoutRepetition(
          header.map((name) => name.trim().normalize('NFC')),
          path,
        ),
      delimiter: path.toLowerCase().endsWith('.tsv') ? '\t' : ',',
      skip_empty_lines: true,
      relax_quotes: true,
    }) as Record<string, string>[]
  } catch (error) {
    if (error instanceof MeshflError) throw error
    throw malformed(path, `is no table: ${(error as Error).message}`, SAVE_AS, error)
  }
}

const SAVE_AS =
  'save it as CSV (commas) or TSV (tabs) in UTF-8, with one header line and the same number of fields in every row'

/** Of two columns of one name the last would be read, and nobody would know. Spreadsheets leave empty ones behind. */
function withoutRepetition(header: string[], path: string): string[] {
  const twice = header.find((column, index) => column !== '' && header.indexOf(column) !== index)
  if (twice === undefined) return header
  throw malformed(path, `has the column ${twice} twice`, 'rename or remove one of the two')
}

function malformed(path: string, what: string, hint: string, cause?: unknown): MeshflError {
  return new MeshflError('TABLE_MALFORMED', `${path} ${what}`, {
    hint,
    data: { path },
    ...(cause === undefined ? {} : { cause }),
  })
}
