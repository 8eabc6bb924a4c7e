/** The first names of a list as a sentence has them, and how many more there are. */
export function someOf(names: readonly string[], most = 3): string {
  return names.slice(0, most).join(', ') + (names.length > most ? ` and ${names.length - most} more` : '')
}
