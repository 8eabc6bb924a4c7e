import { readFile } from 'node:fs/promises'
import type { LabelMap, Vocabulary } from './label-map.js'
import { parseTable } from './layouts/table.js'

const TISSUES: [RegExp, number][] = [
  [/^(wm|white[ _-]matter)$/i, 1],
  [/^([cs]?gm|dgm|scgm|gr[ae]y[ _-]matter|(sub)?cortical gr[ae]y[ _-]matter)$/i, 2],
  [/^(bg|background|csf|cerebro-?spinal fluid|ventricles?)$/i, 0],
]

/**
 * What a BIDS `*_dseg.tsv` (index, name, abbreviation) says of a label's values, in gw3's classes. Tissue segmentations number
 * their classes in every order (grey 1 or 2 or 3): their names are the only thing to trust.
 * @returns undefined for other maps and where the table names no white or no grey matter
 * @throws MeshflError `TABLE_MALFORMED`
 */
export async function vocabularyOfNames(path: string | undefined, map: LabelMap): Promise<Vocabulary | undefined> {
  if (path === undefined || map.name !== 'gw3') return undefined
  const codes = new Map<number, number>([[0, 0]])
  for (const row of parseTable(await readFile(path), path)) {
    const index = Number(row.index)
    if (row.index === undefined || row.index.trim() === '' || !Number.isFinite(index)) continue
    const words = [row.abbreviation, row.name].map((word) => word?.trim() ?? '')
    const tissue = TISSUES.find(([pattern]) => words.some((word) => pattern.test(word)))
    if (tissue !== undefined) codes.set(index, tissue[1])
  }
  const classes = new Set(codes.values())
  return classes.has(1) && classes.has(2) ? { name: 'dseg.tsv', codes } : undefined
}
