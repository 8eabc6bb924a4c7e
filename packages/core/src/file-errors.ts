import { readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { MeshflError } from './errors.js'

/** Errors without a name in Node: it says "Unknown system error -122". */
const UNNAMED = ['EDQUOT', 'ESTALE'] as const

/** What the operating system calls an error: `ENOSPC`. */
export function systemErrorName(error: unknown): string | undefined {
  const { code, errno } = (error ?? {}) as NodeJS.ErrnoException
  return UNNAMED.find((name) => errno !== undefined && errno === -constants.errno[name]) ?? code
}

/** Whether the same write or read may succeed later: when there is room, or the file server is back. Of errors that were explained. */
export function mayPass(error: unknown): error is MeshflError {
  return error instanceof MeshflError && error.kind !== 'usage' && PASSING.has(error.code)
}

const PASSING = new Set(['DISK_FULL', 'PATH_NOT_WRITABLE', 'OPEN_FILES_USED_UP', 'FILE_SERVER_AWAY'])

const OUT_OF_REACH = new Set([
  ...['EMFILE', 'ENFILE'],
  ...['ESTALE', 'ETIMEDOUT', 'ENOTCONN', 'EHOSTDOWN', 'EHOSTUNREACH'], // a file server that is away
])

/** Whether a file or folder could not be opened for a reason that says nothing about it. */
export function isOutOfReach(error: unknown): boolean {
  return OUT_OF_REACH.has(systemErrorName(error) ?? '')
}

/** Turns what the operating system says about a failed write into words. Anything else comes back as it was. */
export function explainWriteError(error: unknown, path: string): unknown {
  const code = systemErrorName(error)
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return new MeshflError('DISK_FULL', `no room to write ${path}`, {
        hint: 'free some space, or point --out at another disk, and run the same command again',
        data: { path },
        cause: error,
      })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
    case 'EISDIR':
    case 'EEXIST':
    case 'ENOENT':
      return new MeshflError('PATH_NOT_WRITABLE', `cannot write ${path} (${code})`, {
        hint: 'check the path and its permissions, or point --out elsewhere',
        data: { path },
        cause: error,
      })
    case 'ENAMETOOLONG':
      return new MeshflError('PATH_NOT_WRITABLE', `cannot write ${path}: its name is too long for the file system`, {
        kind: 'usage',
        hint: 'give a shorter name, or point --out at a folder with a shorter path',
        data: { path },
        cause: error,
      })
    default:
      return explainOutOfReach(error, path, 'write') ?? error
  }
}

/**
 * Turns what the operating system says about a file that cannot be read into words: `FILE_NOT_FOUND`, `FILE_NOT_READABLE`,
 * `OPEN_FILES_USED_UP` or `FILE_SERVER_AWAY`. Anything else comes back as it was.
 */
export function explainReadError(error: unknown, path: string): unknown {
  const code = systemErrorName(error)
  if (code === undefined || error instanceof MeshflError) return error
  if (code === 'ENOENT' || code === 'ENOTDIR') return fileNotFound(path)
  return (
    explainOutOfReach(error, path, 'read') ??
    new MeshflError('FILE_NOT_READABLE', `cannot read ${path} (${code})`, {
      hint: code === 'EISDIR' ? 'give a file, not a folder' : 'check the path and its permissions',
      data: { path, code },
      cause: error,
    })
  )
}

/** `FILE_NOT_FOUND`; of a link to nothing, as in a DataLad data set, with how its file is fetched. */
export function fileNotFound(path: string, why?: string): MeshflError {
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

/** What says nothing about the file itself. */
function explainOutOfReach(error: unknown, path: string, purpose: 'read' | 'write'): MeshflError | undefined {
  const code = systemErrorName(error)
  if (!isOutOfReach(error)) return undefined
  const detail = { data: { path }, cause: error }
  switch (code) {
    case 'EMFILE':
    case 'ENFILE':
      return new MeshflError('OPEN_FILES_USED_UP', `no open file is left to ${purpose} ${path} (${code})`, {
        hint:
          code === 'EMFILE'
            ? 'raise the limit of open files, for example with ulimit -n 65536, and run the same command again'
            : 'close what holds so many files on this machine, and run the same command again',
        ...detail,
      })
    default:
      return new MeshflError('FILE_SERVER_AWAY', `the file server of ${path} is out of reach (${code})`, {
        hint: 'look whether its file system is still mounted, and run the same command again',
        ...detail,
      })
  }
}
