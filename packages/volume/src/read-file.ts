import { readlinkSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { MeshflError, systemErrorName } from '@meshfl/core'
import { tooLarge } from './read-errors.js'

/**
 * Reads a whole file.
 * @throws MeshflError `FILE_NOT_FOUND`, `FILE_NOT_READABLE`, `FILE_SERVER_AWAY`, `OPEN_FILES_USED_UP`, `VOLUME_TOO_LARGE`
 */
export async function readWholeFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_FS_FILE_TOO_LARGE') throw tooLarge(path, (await stat(path)).size)
    throw explainReadError(error, path)
  }
}

/** Turns what the operating system says about a file that cannot be read into words. Anything else comes back as it was. */
export function explainReadError(error: unknown, path: string): unknown {
  const code = systemErrorName(error)
  if (code === undefined || error instanceof MeshflError) return error
  if (code === 'ENOENT' || code === 'ENOTDIR') return notFound(path)
  if (code === 'ESTALE' || code === 'ETIMEDOUT') {
    return new MeshflError('FILE_SERVER_AWAY', `the file server of ${path} is out of reach (${code})`, {
      hint: 'look whether its file system is still mounted, and run the same command again',
      data: { path },
      cause: error,
    })
  }
  if (code === 'EMFILE' || code === 'ENFILE') {
    return new MeshflError('OPEN_FILES_USED_UP', `no open file is left to read ${path} (${code})`, {
      hint: 'raise the limit of open files, for example with ulimit -n 65536, and run the same command again',
      data: { path },
      cause: error,
    })
  }
  return new MeshflError('FILE_NOT_READABLE', `cannot read ${path} (${code})`, {
    hint: code === 'EISDIR' ? 'give a file, not a folder' : 'check the path and its permissions',
    data: { path, code },
    cause: error,
  })
}

export function notFound(path: string, why?: string): MeshflError {
  const target = linkTarget(path)
  if (target !== undefined) {
    // The target may name folders of this machine, which no message of a data set is to tell.
    return new MeshflError('FILE_NOT_FOUND', `${path} is a link to a file that is not there`, {
      hint: 'fetch the file (in a DataLad or git-annex data set: datalad get, git annex get), or correct the link',
      data: { path, target },
    })
  }
  return new MeshflError('FILE_NOT_FOUND', `there is no file ${path}${why === undefined ? '' : `: ${why}`}`, {
    hint: 'check the path',
    data: { path },
  })
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined // no link
  }
}
