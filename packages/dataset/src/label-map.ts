import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { faultOfClassNames, MeshflError } from '@meshfl/core'
import { z } from 'zod'
import { asegMap, gw3Map } from './label-maps.js'

/** What the codes of one kind of label file mean: source code -> class value. */
export interface Vocabulary {
  name: string
  codes: ReadonlyMap<number, number>
  /**
   * Codes that the label of a whole brain has: a label without one of them, of which more than a tenth is not listed, is
   * numbered in another way. Three tissues are often 1, 2, 3, and FreeSurfer's 2 and 3 are but two of them.
   */
  hallmark?: readonly number[]
}

/** How the codes of label files become the classes of a dataset. */
export interface LabelMap {
  name: string
  /** Classes 0 to n-1 in order, 0 is the background; empty for `identity`, whose classes are whatever the data holds. */
  classes: { value: number; name: string }[]
  /** The first one that knows every code of a file reads it; the last one reads the rest. Empty for `identity`. */
  vocabularies: Vocabulary[]
  /**
   * For a map of whole brains: the part of a label's non-zero voxels that gets a class, below which the codes are those of
   * another map. Label maps of whole heads give a quarter or more; MUSE codes read as FreeSurfer's a twentieth.
   */
  leastMapped?: number
}

/** The greatest class value: a model has at most 128 classes. */
const MAX_CLASS = 127

const LabelMapFileSchema = z.object({
  name: z.string().min(1),
  classes: z
    .array(z.object({ value: z.int().min(0).max(MAX_CLASS), name: z.string().min(1), codes: z.array(z.number()) }))
    .min(2),
})

/**
 * A label map by its name (`gw3`, `aseg`, `identity`) or from a JSON file:
 * `{ "name", "classes": [{ "value": 0, "name": "background", "codes": [0, ...] }, ...] }`.
 * @throws MeshflError `LABEL_MAP_UNKNOWN`, `LABEL_MAP_INVALID`
 */
export async function loadLabelMap(nameOrPath: string): Promise<LabelMap> {
  switch (nameOrPath) {
    case 'gw3':
      return gw3Map
    case 'aseg':
      return asegMap
    case 'identity':
      return { name: 'identity', classes: [], vocabularies: [] }
    default:
      return readLabelMap(nameOrPath)
  }
}

async function readLabelMap(path: string): Promise<LabelMap> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new MeshflError('LABEL_MAP_UNKNOWN', `"${path}" is neither a label map nor a file that can be read`, {
      kind: 'usage',
      hint: 'use gw3, aseg, identity or the path of a JSON file',
      cause: error,
    })
  }
  return parseLabelMap(text, path)
}

/**
 * Reads the JSON of a label map.
 * @throws MeshflError `LABEL_MAP_INVALID`
 */
export function parseLabelMap(text: string, path: string): LabelMap {
  const invalid = (what: string): MeshflError =>
    new MeshflError('LABEL_MAP_INVALID', `${basename(path)} is no label map: ${what}`, {
      hint: 'give it a name and classes, each with a value (0, 1, 2, ...), a name and the codes that become it',
      data: { path },
    })
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw invalid((error as Error).message)
  }
  const parsed = LabelMapFileSchema.safeParse(json)
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error).replaceAll('\n', ' '))
  const classes = [...parsed.data.classes].sort((a, b) => a.value - b.value)
  const fault = faultOfClassNames(classes.map(({ name }) => name))
  if (fault !== undefined) throw invalid(fault)
  const codes = new Map<number, number>()
  for (const [index, { value, codes: listed }] of classes.entries()) {
    if (value !== index) throw invalid(`the class values are not 0 to ${classes.length - 1}, each once`)
    for (const code of listed) {
      const taken = codes.get(code)
      if (taken !== undefined) throw invalid(`code ${code} is listed under both ${taken} and ${value}`)
      codes.set(code, value)
    }
  }
  if (!codes.has(0)) codes.set(0, 0)
  return {
    name: parsed.data.name,
    classes: classes.map(({ value, name }) => ({ value, name })),
    vocabularies: [{ name: parsed.data.name, codes }],
  }
}

/** A label in classes, and which of its codes the map did not list. */
export interface MappedLabel {
  classes: Uint8Array
  /** Codes that became background, with their voxels, in the order of the codes. */
  unmapped: { code: number; voxels: number }[]
  /** The part of the non-zero voxels that got a class, 1 where there are none. */
  mapped: number
  /** Whether too much is not listed for a label that lacks the vocabulary's hallmark. */
  foreign: boolean
  /** The vocabulary that read it. */
  vocabulary: string
}

/** The part of the non-zero voxels of a label without the vocabulary's hallmark that may have codes it does not list. */
const MAX_UNLISTED = 0.1

/**
 * Maps the codes of a label volume to classes. A code that is not listed becomes background and is counted.
 * @param names a vocabulary that came with the label (a BIDS dseg.tsv): used before the map's own
 */
export function mapLabels(voxels: ArrayLike<number>, map: LabelMap, names?: Vocabulary): MappedLabel {
  const counts = new Map<number, number>()
  // Labels lie in long runs of one code: a look-up happens only where the code changes.
  for (let i = 0; i < voxels.length; ) {
    const code = voxels[i]!
    let end = i + 1
    while (end < voxels.length && voxels[end] === code) end++
    counts.set(code, (counts.get(code) ?? 0) + end - i)
    i = end
  }
  const vocabulary = names ?? chooseVocabulary(map, [...counts.keys()])
  const classes = new Uint8Array(voxels.length)
  for (let i = 0; i < voxels.length; ) {
    const code = voxels[i]!
    let end = i + 1
    while (end < voxels.length && voxels[end] === code) end++
    const value = vocabulary.codes.get(code) ?? 0
    if (value !== 0) classes.fill(value, i, end)
    i = end
  }
  const unmapped = [...counts]
    .filter(([code]) => code !== 0 && !vocabulary.codes.has(code))
    .map(([code, count]) => ({ code, voxels: count }))
    .sort((a, b) => a.code - b.code)
  const labelled = voxels.length - (counts.get(0) ?? 0)
  const mapped = [...counts].reduce((sum, [code, count]) => sum + (vocabulary.codes.get(code) ? count : 0), 0)
  const unlisted = unmapped.reduce((sum, { voxels: count }) => sum + count, 0)
  const lacksHallmark = vocabulary.hallmark?.some((code) => !counts.has(code)) ?? false
  return {
    classes,
    unmapped,
    mapped: labelled === 0 ? 1 : mapped / labelled,
    foreign: lacksHallmark && unlisted > MAX_UNLISTED * labelled,
    vocabulary: vocabulary.name,
  }
}

function chooseVocabulary(map: LabelMap, codes: number[]): Vocabulary {
  if (map.vocabularies.length === 0) {
    const known = codes.filter((code) => Number.isInteger(code) && code >= 0 && code <= MAX_CLASS)
    return { name: map.name, codes: new Map(known.map((code) => [code, code])) }
  }
  const fitting = map.vocabularies.find(({ codes: known }) => codes.every((code) => known.has(code)))
  return fitting ?? map.vocabularies.at(-1)!
}
