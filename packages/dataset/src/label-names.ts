import { basename } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { readWholeFile } from '@meshfl/volume'
import { z } from 'zod'
import type { LabelMap, Vocabulary } from './label-map.js'
import { parseTable } from './layouts/table.js'

const TISSUES: [RegExp, number][] = [
  [/^(wm|white[ _-]matter)$/i, 1],
  [/^([cs]?gm|dgm|scgm|gr[ae]y[ _-]matter|(sub)?cortical gr[ae]y[ _-]matter)$/i, 2],
  [/^(bg|background|csf|cerebro-?spinal fluid|ventricles?)$/i, 0],
]

const NnunetLabelsSchema = z.object({ labels: z.record(z.string(), z.number()) })

/**
 * What a BIDS `*_dseg.tsv` (index, name, abbreviation) or nnU-Net's dataset.json (`labels`) says of a label's values, in gw3's
 * classes. Tissue segmentations number their classes in every order: their names are the only thing to trust.
 * @returns undefined for other maps and where the file names no white or no grey matter
 * @throws MeshflError `TABLE_MALFORMED`, `LABEL_NAMES_MALFORMED`, `FILE_NOT_FOUND`, `FILE_NOT_READABLE`
 */
export async function vocabularyOfNames(path: string | undefined, map: LabelMap): Promise<Vocabulary | undefined> {
  if (path === undefined || map.name !== 'gw3') return undefined
  const bytes = await readWholeFile(path)
  const named = path.endsWith('.json') ? namesInJson(bytes.toString('utf8'), path) : namesInTable(bytes, path)
  const codes = new Map<number, number>([[0, 0]])
  for (const { code, words } of named) {
    const tissue = TISSUES.find(([pattern]) => words.some((word) => pattern.test(word.trim())))
    if (tissue !== undefined) codes.set(code, tissue[1])
  }
  const classes = new Set(codes.values())
  return classes.has(1) && classes.has(2) ? { name: basename(path), codes } : undefined
}

function namesInTable(bytes: Uint8Array, path: string): { code: number; words: string[] }[] {
  return parseTable(bytes, path).flatMap((row) => {
    const code = Number(row.index)
    if (row.index === undefined || row.index.trim() === '' || !Number.isFinite(code)) return []
    return [{ code, words: [row.abbreviation ?? '', row.name ?? ''] }]
  })
}

function namesInJson(text: string, path: string): { code: number; words: string[] }[] {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new MeshflError('LABEL_NAMES_MALFORMED', `${path} is not JSON: ${(error as Error).message}`, {
      hint: 'mend the file, or move it away when the labels need no names',
      cause: error,
    })
  }
  // Region-based training gives a name several values: such labels are none of ours to read by name.
  const parsed = NnunetLabelsSchema.safeParse(json)
  if (!parsed.success) return []
  return Object.entries(parsed.data.labels).map(([name, code]) => ({ code, words: [name] }))
}
