import type { FoundCase } from './layouts/layout.js'

/**
 * A file name for every case: its subject, with session and run where a subject has several cases. Unique on file systems
 * that ignore case, too, and of characters that are safe on all of them.
 */
export function caseIds(cases: readonly FoundCase[]): string[] {
  const perSubject = new Map<string, number>()
  for (const { subject } of cases) perSubject.set(subject, (perSubject.get(subject) ?? 0) + 1)
  const taken = new Set<string>()
  return cases.map(({ subject, columns }) => {
    const parts = [subject]
    if (perSubject.get(subject)! > 1) {
      if (columns.session) parts.push(columns.session)
      if (columns.run) parts.push(`run-${columns.run}`)
    }
    const stem =
      parts
        .join('_')
        .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
        .replace(/^[.-]+/, '')
        .slice(0, 120) || 'case'
    let id = stem
    for (let n = 2; taken.has(id.toLowerCase()); n++) id = `${stem}_${n}`
    taken.add(id.toLowerCase())
    return id
  })
}
