import { readdir } from 'node:fs/promises'
import { relative, sep } from 'node:path'
import { explainReadError, MeshflError } from '@meshfl/core'
import type { Finding } from '../manifest.js'

const EXTENSIONS = ['.nii.gz', '.nii', '.mgz', '.mgh', '.hdr.gz', '.hdr'] as const

/** A file name without the extension of a volume; null where it names none. The .img of a pair belongs to its .hdr. */
export function volumeStem(name: string): string | null {
  if (name.startsWith('.')) return null // what macOS leaves beside a file it copied, and temporary files
  const lower = name.toLowerCase()
  const extension = EXTENSIONS.find((candidate) => lower.endsWith(candidate))
  if (extension === undefined || extension.length === name.length) return null
  return name.slice(0, -extension.length)
}

/**
 * The entries of a folder in an order that no platform changes; null where it is no folder.
 * @throws MeshflError `FOLDER_NOT_READABLE`, `FILE_NOT_READABLE`, `FILE_SERVER_AWAY`, `OPEN_FILES_USED_UP`
 */
export async function listFolder(path: string): Promise<{ folders: string[]; files: string[] } | null> {
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
  const names = (keep: (entry: (typeof entries)[number]) => boolean): string[] =>
    entries
      .filter(keep)
      .map((entry) => entry.name)
      .sort()
  // A link may point at either: which one shows when it is opened.
  return {
    folders: names((entry) => entry.isDirectory() || entry.isSymbolicLink()),
    files: names((entry) => entry.isFile() || entry.isSymbolicLink()),
  }
}

function readEntries(path: string) {
  return readdir(path, { withFileTypes: true })
}

/**
 * Does `work`; a folder that it cannot look into becomes a finding, and the answer undefined.
 * @param subject whose folders they are: then the finding is an error, for the subject is not in the dataset
 */
export async function orFinding<T>(
  findings: Finding[],
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
      ...(subject === undefined ? {} : { subject }),
    })
    return undefined
  }
}
