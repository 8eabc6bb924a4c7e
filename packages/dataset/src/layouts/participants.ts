import { join } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { readWholeFile } from '@meshfl/volume'
import { parseTable } from './table.js'
import { listFolder } from './volume-file.js'

const FILE = 'participants.tsv'
const ID = 'participant_id'

export interface Participants {
  /** The rows of each subject: tables of several visits have one for each. */
  rows: ReadonlyMap<string, readonly Record<string, string>[]>
  /** The names of all columns. */
  columns: readonly string[]
}

/**
 * Columns of BIDS' participants.tsv by subject. Only those that are asked for: what else is known of people has no place in a dataset.
 * @throws MeshflError `TABLE_MALFORMED`, `FILE_NOT_FOUND`, `FILE_NOT_READABLE`
 */
export async function readParticipants(source: string, columns: readonly string[]): Promise<Participants> {
  const listing = columns.length > 0 ? await listFolder(source) : null
  if (!listing?.files.includes(FILE)) return { rows: new Map(), columns: [] }
  const path = join(source, FILE)
  const table = parseTable(await readWholeFile(path), path)
  const names = Object.keys(table[0] ?? {}).filter((name) => name !== ID && name !== '')
  const rows = new Map<string, Record<string, string>[]>()
  for (const row of table) {
    if (row[ID] === undefined) {
      throw new MeshflError('TABLE_MALFORMED', `${path} has no column ${ID}, so that its rows are nobody's`, {
        hint: `call the column of subjects ${ID}: sub-01, sub-02, as their folders are called`,
        data: { path },
      })
    }
    const id = row[ID].trim()
    const subject = id.startsWith('sub-') ? id : `sub-${id}`
    const known = columns.filter((column) => Object.hasOwn(row, column))
    rows.set(subject, [...(rows.get(subject) ?? []), Object.fromEntries(known.map((name) => [name, row[name]!]))])
  }
  return { rows, columns: names }
}
