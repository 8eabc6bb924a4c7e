import { readFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { bidsLayout } from './layouts/bids.js'
import { foldersLayout } from './layouts/folders.js'
import { freesurferLayout } from './layouts/freesurfer.js'
import type { FindOptions, FoundCase, FoundFinding, Layout, LayoutName } from './layouts/layout.js'
import { nnunetLayout } from './layouts/nnunet.js'
import type { Participants } from './layouts/participants.js'
import { tableLayout } from './layouts/table.js'
import { listFolder } from './layouts/volume-file.js'
import { MANIFEST_FILE } from './open-dataset.js'

/** In the order of trying: what someone wrote down comes before what the names suggest. */
const LAYOUTS: readonly Layout[] = [tableLayout, bidsLayout, freesurferLayout, nnunetLayout, foldersLayout]

export interface FoundCases {
  layout: LayoutName
  /** Ordered by subject, then by image. */
  cases: FoundCase[]
  /** Images without labels and the like; at level `error`, subjects whose files are out of reach or not to be told apart. */
  findings: FoundFinding[]
  /** What the layout knows of subjects beside their cases. */
  participants?: Participants
}

/**
 * Finds pairs of image and label below a folder, or listed by a CSV or TSV file.
 * @param source a BIDS dataset, a FreeSurfer subjects folder, an nnU-Net dataset, a folder with images/ and labels/, or a table
 * @throws MeshflError `DATASET_NO_PAIRS`, `SOURCE_IS_DATASET`, `SOURCE_NOT_FOUND`, `TABLE_AMBIGUOUS`, `TABLE_MALFORMED`, `FILE_NOT_READABLE`
 */
export async function findCases(source: string, options: FindOptions = {}): Promise<FoundCases> {
  const root = resolve(source)
  if ((await stat(root).catch(() => null)) === null) {
    throw new MeshflError('SOURCE_NOT_FOUND', `there is no ${source}`, {
      hint: 'give the folder that holds the images and labels, or a CSV or TSV file that lists them',
      data: { source: root },
    })
  }
  if (await isDataset(root)) {
    // Its images/ and labels/ would be taken for a source, and they are but a part of it.
    throw new MeshflError(
      'SOURCE_IS_DATASET',
      `${source} is a dataset that meshfl split made, and no source of scans`,
      {
        hint: 'give the folder that it was made from; to train on it, meshfl train or meshfl simulate',
        data: { source: root },
      },
    )
  }
  const empty: { layout: Layout; findings: FoundFinding[] }[] = []
  for (const layout of LAYOUTS) {
    const found = await layout.find(root, options)
    if (found === null) continue
    const { cases, findings, participants } = found
    if (cases.length > 0)
      return { layout: layout.name, cases: inOrder(cases), findings, ...(participants ? { participants } : {}) }
    empty.push({ layout, findings })
  }
  throw await noPairs(source, root, options, empty)
}

async function isDataset(root: string): Promise<boolean> {
  const file = basename(root) === MANIFEST_FILE ? root : join(root, MANIFEST_FILE)
  const text = await readFile(file, 'utf8').catch(() => '')
  return /"format":\s*"meshfl-dataset\//.test(text)
}

function inOrder(cases: FoundCase[]): FoundCase[] {
  const key = (item: FoundCase): string => `${item.subject}\0${item.image}`
  return [...cases].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0))
}

async function noPairs(
  source: string,
  root: string,
  options: FindOptions,
  empty: { layout: Layout; findings: FoundFinding[] }[],
): Promise<MeshflError> {
  const listing = await listFolder(root)
  const names = listing === null ? [] : [...new Set([...listing.folders.map((name) => `${name}/`), ...listing.files])]
  const there = names.length === 0 ? 'nothing' : `${names.slice(0, 8).join(', ')}${names.length > 8 ? ', ...' : ''}`
  const looked = LAYOUTS.map((layout) => `  ${layout.looksFor(options)}`).join('\n')
  const reasons = empty.flatMap(({ findings }) => findings.map(({ message }) => message))
  const why = reasons.length === 0 ? '' : `; ${reasons.slice(0, 3).join('; ')}${reasons.length > 3 ? '; ...' : ''}`
  return new MeshflError(
    'DATASET_NO_PAIRS',
    `no pair of image and label in ${source}: it holds ${there}${why}. Looked for:\n${looked}`,
    {
      hint: 'lay the files out in one of these ways, or list them in a table with the columns subject, image, label',
      data: { source: root, found: names.slice(0, 50), reasons },
    },
  )
}
