import { join } from 'node:path'
import { readWholeFile } from '@meshfl/volume'
import { parseTable } from './table.js'
import { listFolder } from './volume-file.js'

const FILE = 'participants.tsv'

/**
 * Columns of BIDS' participants.tsv by subject. Only those that are asked for: what else is known of people has no place in a dataset.
 * @throws MeshflError `TABLE_MALFORMED`, `FILE_NOT_FOUND`, `FILE_NOT_READABLE`
 */
export async function readParticipants(
  source: string,
  columns: readonly string[],
): Promise<Map<string, Record<string, string>>> {
  const listing = columns.length > 0 ? await listFolder(source) : null
  if (!listing?.files.includes(FILE)) return new Map()
  const path = join(source, FILE)
  return new Map(
    parseTable(await readWholeFile(path), path).map((row) => {
      const id = (row.participant_id ?? '').trim()
      const known = columns.filter((column) => Object.hasOwn(row, column))
      return [id.startsWith('sub-') ? id : `sub-${id}`, Object.fromEntries(known.map((name) => [name, row[name]!]))]
    }),
  )
}
