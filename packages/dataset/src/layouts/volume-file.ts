import { lstat, readdir, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { explainReadError, MeshflError, mayPass } from '@meshfl/core'
import type { FoundFinding } from './layout.js'

const EXTENSIONS = ['.nii.gz', '.nii', '.mgz', '.mgh', '.hdr.gz', '.hdr'] as const

/** A file name without the extension of a volume; null where it names none. The .img of a pair belongs to its .hdr. */
export function volumeStem(name: string): string | null {
  if (name.startsWith('.')) return null // what macOS leaves beside a file it copied, and temporary files
  const lower = name.toLowerCase()
  const extension = EXTENSIONS.find((candidate) => lower.endsWith(candidate))
  if (extension === undefined || extension.length === name.length) return null
  return name.slice(0, -extension.length)
}

/** The volumes among files by their names without ending and suffix: several where two names differ in the ending only. */
export function volumesByStem(files: readonly string[], suffix = ''): Map<string, string[]> {
  const byStem = new Map<string, string[]>()
  for (const file of files) {
    const whole = volumeStem(file)
    if (!whole?.endsWith(suffix) || whole.length === suffix.length) continue
    const stem = whole.slice(0, whole.length - suffix.length)
    byStem.set(stem, [...(byStem.get(stem) ?? []), file])
  }
  return byStem
}

/**
 * The error finding of a case whose image or label is there twice under one name (`a.nii` and `a.nii.gz`), for nobody can
 * know which of them is meant; null where each is there once.
 * @param files of the image and of the label, by the folder that holds them
 */
export function sameName(
  subject: string,
  files: readonly (readonly [string, readonly string[]])[],
): FoundFinding | null {
  const double = files.find(([, names]) => names.length > 1)
  if (double === undefined) return null
  const [folder, names] = double
  return {
    level: 'error',
    code: 'FILES_SAME_NAME',
    message: `${names.map((name) => `${folder}/${name}`).join(' and ')} have one name but for its ending`,
    subject,
    hint: 'keep one of the two, so that it is clear which one is meant',
  }
}

/** The entries of a folder; what is neither a folder nor a regular file (a pipe, a socket) is none. */
export interface Listing {
  folders: string[]
  /** Also links to nothing: in a DataLad data set those are files that were not fetched. */
  files: string[]
  /** Links to nothing, and folders that cannot be opened because their names are not UTF-8. */
  lost: string[]
}

/**
 * The entries of a folder in an order that no platform changes; null where it is no folder.
 * @throws MeshflError `FOLDER_NOT_READABLE`, `FILE_NOT_READABLE`, `FILE_SERVER_AWAY`, `OPEN_FILES_USED_UP`
 */
export async function listFolder(path: string): Promise<Listing | null> {
  let entries: Awaited<ReturnType<typeof readEntries>>
  try {
    entries = await readEntries(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return null
    if (code !== 'EACCES' && code !== 'EPERM') throw explainReadError(error, path)
    throw new MeshflError('FOLDER_NOT_READABLE', `cannot look into ${path} (${code})`, {
      hint: 'check the permissions of the folder',
      data: { path, code },
      cause: error,
    })
  }
  const kinds = await Promise.all(entries.map((entry) => kindOf(path, entry)))
  const names = (...wanted: Kind[]): string[] =>
    entries
      .filter((_, index) => wanted.includes(kinds[index]!))
      .map((entry) => entry.name)
      .sort()
  return {
    folders: names('folder', 'link to somewhere'),
    files: names('file', 'dangling link', 'link to somewhere'),
    lost: names('dangling link', 'folder without a name'),
  }
}

type Kind = 'folder' | 'file' | 'dangling link' | 'link to somewhere' | 'folder without a name' | 'other'

async function kindOf(folder: string, entry: Awaited<ReturnType<typeof readEntries>>[number]): Promise<Kind> {
  const path = join(folder, entry.name)
  if (entry.isSymbolicLink()) {
    try {
      const target = await stat(path)
      return target.isDirectory() ? 'folder' : target.isFile() ? 'file' : 'other'
    } catch (error) {
      const explained = explainReadError(error, path)
      if (mayPass(explained)) throw explained
      // What may not be looked at may be either; opening it says why it cannot be.
      return ['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '')
        ? 'dangling link'
        : 'link to somewhere'
    }
  }
  if (entry.isFile()) return 'file'
  if (!entry.isDirectory()) return 'other'
  // Bytes that are no UTF-8 are listed as U+FFFD, a name under which nothing is found.
  const named = !entry.name.includes('\uFFFD') || (await lstat(path).catch(() => null)) !== null
  return named ? 'folder' : 'folder without a name'
}

function readEntries(path: string) {
  return readdir(path, { withFileTypes: true })
}

/** The error finding of a subject one of whose folders is lost: see `Listing`. */
export function lostFolder(source: string, path: string, subject: string): FoundFinding {
  const shown = relative(source, path).split(sep).join('/')
  const unnamed = shown.includes('\uFFFD')
  return {
    level: 'error',
    code: 'SUBJECT_OUT_OF_REACH',
    message: unnamed
      ? `${shown} cannot be opened: its name is not UTF-8, and is shown with a mark for each byte that cannot be read`
      : `${shown} is a link to nothing`,
    subject,
    hint: unnamed
      ? 'rename the folder with letters of ASCII, or convert all names with convmv'
      : 'mount or fetch what the link points at, correct it, or remove it',
  }
}

/**
 * Does `work`; a folder that it cannot look into becomes a finding, and the answer undefined.
 * @param subject whose folders they are: then the finding is an error, for the subject is not in the dataset
 */
export async function orFinding<T>(
  findings: FoundFinding[],
  source: string,
  subject: string | undefined,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof MeshflError) || error.code !== 'FOLDER_NOT_READABLE') throw error
    const { path, code } = error.data as { path: string; code: string }
    const message = `cannot look into ${relative(source, path).split(sep).join('/')} (${code})`
    findings.push({
      level: subject === undefined ? 'warning' : 'error',
      code: error.code,
      message,
      ...(subject === undefined ? {} : { subject, hint: 'check the permissions of the folder' }),
    })
    return undefined
  }
}
