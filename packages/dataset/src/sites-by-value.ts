/** As long as a federation takes the name of a site. */
const MAX_LENGTH = 64
/** What Windows takes for devices, whatever their ending. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i

/**
 * A name of a site for every value of a column: the value itself where it is a name of a folder and of a site everywhere, else what
 * is left of it. Unique on file systems that ignore case, too; the same values have the same names in any order.
 * @param values none of them empty
 */
export function sitesByValue(values: Iterable<string>): Map<string, string> {
  const taken = new Set<string>()
  const names = new Map<string, string>()
  const sorted = [...new Set(values)].sort()
  // Those that stay as they are come first: no other may take their names.
  for (const value of sorted.filter((candidate) => plainName(candidate) === candidate)) claim(value, value)
  for (const value of sorted.filter((candidate) => plainName(candidate) !== candidate)) claim(value, plainName(value))
  return new Map(sorted.map((value) => [value, names.get(value)!]))

  function claim(value: string, stem: string): void {
    let name = stem
    for (let n = 2; taken.has(name.toLowerCase()); n++) {
      const suffix = `-${n}`
      name = `${stem.slice(0, MAX_LENGTH - suffix.length)}${suffix}`
    }
    taken.add(name.toLowerCase())
    names.set(value, name)
  }
}

function plainName(value: string): string {
  const name = value
    .normalize('NFKD')
    .replaceAll(/\p{M}+/gu, '')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, MAX_LENGTH)
    .replace(/[.-]+$/, '')
  if (name === '') return 'site'
  return DEVICE.test(name) ? `site-${name}`.slice(0, MAX_LENGTH).replace(/[.-]+$/, '') : name
}
