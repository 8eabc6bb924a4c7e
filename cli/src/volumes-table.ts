import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { csvCell, type FolderLock, lockFolder, MeshflError, writeFileAtomic } from '@meshfl/core'

const RETRY_MS = 20
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
  const readRows = async (): Promise<string[][]> => {
    const [header, ...rows] = parseCsv(await readFile(path, 'utf8').catch(emptyWhereNone))
    if (header === undefined || header.join('\n') === columns.join('\n')) return rows
    throw new MeshflError('PREDICT_OTHER_CLASSES', `${path} has the columns ${header.join(', ')}`, {
      kind: 'usage',
      hint: 'choose another --out for a model with other classes',
    })
  }
  const rows = await readRows()
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
      const lock = canLock ? await lockBriefly(folder, signal) : undefined
      canLock = lock !== undefined // waited for once, not again for every scan
      try {
        const others = (await readRows()).filter((row) => row[1] !== basename(label))
        const volumes = classNames.slice(1).map((name) => volumesMl[name]!.toFixed(3))
        const all = [columns, ...others, [resolve(image), basename(label), ...volumes]]
        await writeFileAtomic(path, all.map((row) => `${row.map(csvCell).join(',')}\n`).join(''))
      } finally {
        lock?.release()
      }
    },
  }
}

function takesPlaceOf(label: string, image: string, what: string): MeshflError {
  return new MeshflError('PREDICT_NAME_TWICE', `the label map of ${image} would overwrite ${label}, ${what}`, {
    kind: 'usage',
    hint: 'give it an --out of its own, or name all scans of one file name in one command: then their folders tell them apart',
  })
}

function emptyWhereNone(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return ''
  throw new MeshflError('FILE_NOT_READABLE', `cannot read ${error.path} (${error.code})`, {
    hint: 'check the path and its permissions',
    cause: error,
  })
}

/**
 * Keeps other processes from writing a row meanwhile, which would be lost. Where no lock can be had the row is written all the same:
 * in the folder of a run that goes on.
 */
async function lockBriefly(folder: string, signal: AbortSignal): Promise<FolderLock | undefined> {
  const begin = performance.now()
  for (;;) {
    try {
      return await lockFolder(folder, { signal })
    } catch (error) {
      signal.throwIfAborted()
      const isLocked = error instanceof MeshflError && error.code === 'RUN_LOCKED'
      if (!isLocked || performance.now() - begin > MOST_WAIT_MS) return undefined
    }
    await sleep(RETRY_MS, undefined, { signal })
  }
}

/** The cells of what `csvCell` wrote, line by line; a spreadsheet may have saved it with other line ends. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = []
  let row: string[] = []
  for (const [, cell = '', end] of text.replace(/^\ufeff/, '').matchAll(/("(?:[^"]|"")*"|[^,\r\n]*)(,|\r?\n|$)/g)) {
    const value = cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell
    if (end === '' && value === '' && row.length === 0) break
    row.push(value.replace(/^'(?=[=+\-@\t\r])/, ''))
    if (end === ',') continue
    rows.push(row)
    row = []
  }
  return rows
}
