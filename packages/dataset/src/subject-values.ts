import { MeshflError } from '@meshfl/core'
import type { FoundCase } from './layouts/layout.js'
import type { Participants } from './layouts/participants.js'

/** What stands for no value: an empty field, BIDS' own word, and those that R and pandas write. */
const MISSING = /^(n\/a|na|nan|null)?$/i

/**
 * The value that a column has for every subject; `''` where it has none. Letters with marks are alike however they were written down.
 * @param subjects all that the source has
 * @param participants what is known of subjects beside their cases
 * @throws MeshflError `COLUMN_UNKNOWN`, `COLUMN_AMBIGUOUS`, `COLUMN_VALUE_MISSING` where no subject has one
 */
export function subjectValues(
  column: string,
  subjects: Iterable<string>,
  cases: readonly FoundCase[],
  participants?: Participants,
): Map<string, string> {
  const told = [
    ...cases.map(({ subject, columns }) => ({ subject, columns })),
    ...[...(participants?.rows ?? [])].flatMap(([subject, rows]) => rows.map((columns) => ({ subject, columns }))),
  ]
  if (!told.some(({ columns }) => Object.hasOwn(columns, column))) {
    throw unknown(column, [...told.flatMap(({ columns }) => Object.keys(columns)), ...(participants?.columns ?? [])])
  }
  const values = new Map([...subjects].map((subject) => [subject, '']))
  for (const { subject, columns } of told) {
    const before = values.get(subject)
    const value = (Object.hasOwn(columns, column) ? columns[column]! : '').trim().normalize('NFC')
    if (before === undefined || MISSING.test(value) || before === value) continue
    if (before !== '') {
      throw new MeshflError('COLUMN_AMBIGUOUS', `${subject} has two values of ${column}: ${before} and ${value}`, {
        hint: 'give all scans of a subject one value: they go to one part of the split and to one site',
        data: { subject, column },
      })
    }
    values.set(subject, value)
  }
  if ([...values.values()].some((value) => value !== '')) return values
  throw new MeshflError('COLUMN_VALUE_MISSING', `no subject of the source has a value of ${column}`, {
    hint: 'fill the column in; in participants.tsv the participant_id of a row must be the name of a folder, sub-01 for example',
    data: { column },
  })
}

function unknown(column: string, names: readonly string[]): MeshflError {
  const there = [...new Set(names)].sort()
  return new MeshflError('COLUMN_UNKNOWN', `there is no column ${column} in the source`, {
    kind: 'usage',
    hint: `${there.length > 0 ? `it has ${there.join(', ')}` : 'it has none'}; columns are those of a table, or of participants.tsv in a BIDS folder`,
    data: { column, there },
  })
}
