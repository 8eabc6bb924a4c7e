import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { csvCell, explainReadError, MeshflError, systemErrorName, writeFileAtomic } from '@meshfl/core'
import { parse } from 'csv-parse/sync'
import { lockOrGoOn } from './lock-when-free.js'

const MOST_WAIT_MS = 10_000

/** volumes.csv: a row for each label map in its folder, also of those that other commands wrote there, before or at the same time. */
export interface VolumesTable {
  /** Adds the row of a scan, or writes it anew. */
  add(image: string, label: string, volumesMl: Record<string, number>): Promise<void>
}

/**
 * @param labels where the label map of each scan will be written: in `folder`
 * @throws MeshflError `PREDICT_NAME_TWICE` when one would take the place of another scan's label map, or of a scan;
 * `PREDICT_OTHER_CLASSES` when the folder's rows have other columns
 */
export async function openVolumesTable(
  folder: string,
  classNames: readonly string[],
  images: readonly string[],
  labels: readonly string[],
  signal: AbortSignal,
): Promise<VolumesTable> {
  const path = join(folder, 'volumes.csv')
  const columns = ['image', 'label', ...classNames.slice(1).map((name) => `${name} (mL)`)]
  const readOthers = async (): Promise<string[][]> => {
    const [header, ...rows] = await readRows(path)
    if (header === undefined || header.join('\n') === columns.join('\n')) return rows
    throw new MeshflError('PREDICT_OTHER_CLASSES', `${path} has the columns ${header.join(', ')}`, {
      kind: 'usage',
      hint: 'choose another --out for a model with other classes',
    })
  }
  const rows = await readOthers()
  const scans = new Set(images.map((image) => resolve(image)))
  for (const [i, label] of labels.entries()) {
    if (scans.has(resolve(label))) throw takesPlaceOf(label, images[i]!, 'that very scan')
    const [before] = rows.find((row) => row[1] === basename(label)) ?? []
    if (before !== undefined && before !== resolve(images[i]!) && existsSync(label))
      throw takesPlaceOf(label, images[i]!, `the label map of ${before}`)
  }
  let canLock = true
  return {
    async add(image, label, volumesMl) {
      const lock = canLock ? await lockOrGoOn(folder, { signal, pollMs: 20, mostMs: MOST_WAIT_MS }) : undefined
      canLock = lock !== undefined // waited for once, not again for every scan
      try {
        const others = (await readOthers()).filter((row) => row[1] !== basename(label))
        const volumes = classNames.slice(1).map((name) => volumesMl[name]!.toFixed(3))
        const all = [columns, ...others, [resolve(image), basename(label), ...volumes]]
        await writeFileAtomic(path, all.map((row) => `${row.map(csvCell).join(',')}\n`).join(''))
      } finally {
        lock?.release()
      }
    },
  }
}

/**
 * Names of the classes of a label map that `meshfl predict` wrote, from the table beside it; nothing where there is none, where the map
 * is not in it, or where it is some other program's: a map can be looked at without names.
 */
export async function predictedClassNames(label: string): Promise<Record<number, string> | undefined> {
  const [header = [], ...rows] = await readRows(join(dirname(label), 'volumes.csv')).catch(() => [])
  const columns = header.slice(2).map((column) => /^(.*) \(mL\)$/s.exec(column)?.[1])
  if (header[1] !== 'label' || columns.includes(undefined) || !rows.some((row) => row[1] === basename(label))) return
  return Object.fromEntries(['background', ...columns].map((name, value) => [value, name!]))
}

function takesPlaceOf(label: string, image: string, what: string): MeshflError {
  return new MeshflError('PREDICT_NAME_TWICE', `the label map of ${image} would overwrite ${label}, ${what}`, {
    kind: 'usage',
    hint: 'give it an --out of its own, or name all scans of one file name in one command: then their folders tell them apart',
  })
}

async function readRows(path: string): Promise<string[][]> {
  try {
    return parseRows(await readFile(path))
  } catch (error) {
    const code = systemErrorName(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw explainReadError(error, path)
  }
}

/** The cells of what `csvCell` wrote, line by line, also where a spreadsheet has saved it. */
function parseRows(bytes: Buffer): string[][] {
  const options = { bom: true, skip_empty_lines: true, relax_column_count: true, relax_quotes: true }
  return parse(bytes, { ...options, cast: (cell) => cell.replace(/^'(?=[=+\-@\t\r])/, '') }) as string[][]
}
