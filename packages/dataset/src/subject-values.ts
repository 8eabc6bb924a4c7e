import { MeshflError } from '@meshfl/core'
import type { FoundCase } from './layouts/layout.js'

/** What stands for no value: an empty field, and BIDS' own word. */
const MISSING = new Set(['', 'n/a'])

/**
 * The value that a column has for every subject; `''` where it has none.
 * @param subjects all that the source has
 * @param known what is known of subjects beside their cases
 * @throws MeshflError `COLUMN_UNKNOWN`, `COLUMN_AMBIGUOUS`
 */
export function subjectValues(
  column: string,
  subjects: Iterable<string>,
  cases: readonly FoundCase[],
  known: ReadonlyMap<string, Record<string, string>> = new Map(),
): Map<string, string> {
  const told = [
    ...cases.map(({ subject, columns }) => ({ subject, columns })),
    ...[...known].map(([subject, columns]) => ({ subject, columns })),
  ]
  if (!told.some(({ columns }) => Object.hasOwn(columns, column))) throw unknown(column, told)
  const values = new Map([...subjects].map((subject) => [subject, '']))
  for (const { subject, columns } of told) {
    const before = values.get(subject)
    const value = (Object.hasOwn(columns, column) ? columns[column]! : '').trim()
    if (before === undefined || MISSING.has(value) || before === value) continue
    if (before !== '') {
      throw new MeshflError('COLUMN_AMBIGUOUS', `${subject} has two values of ${column}: ${before} and ${value}`, {
        hint: 'give all scans of a subject one value: they go to one part of the split and to one site',
        data: { subject, column },
      })
    }
    values.set(subject, value)
  }
  return values
}

function unknown(column: string, told: readonly { columns: Record<string, string> }[]): MeshflError {
  const there = [...new Set(told.flatMap(({ columns }) => Object.keys(columns)))].sort()
  return new MeshflError('COLUMN_UNKNOWN', `there is no column ${column} in the source`, {
    kind: 'usage',
    hint: `${there.length > 0 ? `it has ${there.join(', ')}` : 'it has none'}; columns are those of a table, or of participants.tsv in a BIDS folder`,
    data: { column, there },
  })
}
