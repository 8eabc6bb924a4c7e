import { StudySchema } from '@meshfl/core'

/** What of a zod schema its keys are read from. */
export interface Schema {
  shape?: Record<string, Schema>
  /** What lies within `.optional()`, `.default()` and `.prefault()`. */
  unwrap?(): Schema
}

/** Every key of a study by its path: `rounds`, `model`, `model.channels`. */
export function keysOf(schema: Schema, prefix = ''): string[] {
  if (schema.unwrap) return keysOf(schema.unwrap(), prefix)
  return Object.entries(schema.shape ?? {}).flatMap(([key, value]) => [
    `${prefix}${key}`,
    ...keysOf(value, `${prefix}${key}.`),
  ])
}

/**
 * What to say of a key that a study does not have: the key that was meant, when one is close or lies in another section, or else
 * those that the section has.
 * @param section path of the section it stands in, '' for the top
 */
export function hintForUnknownKey(section: string, unknown: string): string {
  const keys = keysOf(StudySchema as Schema)
  const nameOf = (path: string): string => path.slice(path.lastIndexOf('.') + 1)
  const sectionOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('.')))
  const ranked = keys
    .map((path) => ({
      path,
      edits: editDistance(nameOf(path).toLowerCase(), unknown.toLowerCase()),
      elsewhere: sectionOf(path) === section ? 0 : 1,
    }))
    .filter(({ edits }) => edits <= Math.max(1, Math.floor(unknown.length / 3)))
    .sort((a, b) => a.edits - b.edits || a.elsewhere - b.elsewhere)
  const nearest = ranked[0]?.path
  if (nearest !== undefined) return `did you mean ${nearest}?`
  const siblings = keys.filter((path) => sectionOf(path) === section).map(nameOf)
  return `${section || 'a study'} has the keys ${siblings.join(', ')}`
}

/** Letters to insert, delete or replace to make one word of the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
