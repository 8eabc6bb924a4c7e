import { randomBytes } from 'node:crypto'
import {
  accessSync,
  closeSync,
  existsSync,
  fchownSync,
  constants as fileConstants,
  fsyncSync,
  mkdirSync,
  openSync,
  statSync,
} from 'node:fs'
import { type FileHandle, lstat, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { explainWriteError, isOutOfReach } from './file-errors.js'

/** What names a temporary file of ours; `removeTemporaryFiles` sweeps what a crash left. */
export const TEMPORARY_PREFIX = '.meshfl-tmp-'

/**
 * Writes a file so that whoever reads it, whenever the machine dies, sees the old bytes or the new ones: temporary name in
 * the same folder, fsync, rename, fsync of the folder. Makes the folder when there is none.
 * @param options.mode permissions of the new file: 0o600 for keys
 * @throws MeshflError `DISK_FULL`, `PATH_NOT_WRITABLE`, `OPEN_FILES_USED_UP`, `FILE_SERVER_AWAY`
 */
export async function writeFileAtomic(
  path: string,
  data: Uint8Array | string,
  options: { mode?: number } = {},
): Promise<void> {
  const temporary = await writeTemporary(path, data, options.mode)
  await replace(path, temporary)
}

/**
 * Writes two files of which the second names the first, so that whoever reads the second, whenever the machine dies, finds with it the
 * first that it was written with, or does not find it. Both are written under temporary names before either is replaced.
 * @throws MeshflError as `writeFileAtomic` does
 */
export async function writePairAtomic(named: NewFile, naming: NewFile): Promise<void> {
  const first = await writeTemporary(named.path, named.data)
  const left = [first]
  try {
    const second = await writeTemporary(naming.path, naming.data)
    left.push(second)
    const aside = `${second}-old`
    const hadOne = await setAside(naming.path, aside)
    try {
      await replace(named.path, first)
    } catch (error) {
      if (hadOne) await rename(aside, naming.path)
      throw error
    }
    left.push(aside)
    await replace(naming.path, second)
  } finally {
    for (const temporary of left) await rm(temporary, { force: true }).catch(() => undefined)
  }
}

/** A file that is to be written. */
interface NewFile {
  path: string
  data: Uint8Array | string
}

/** Makes the bytes of a file durable beside it, and its folder where there is none. */
async function writeTemporary(path: string, data: Uint8Array | string, mode?: number): Promise<string> {
  const folder = dirname(path)
  // Without the file's own name, which may be as long as a name can be.
  const temporary = join(folder, `${TEMPORARY_PREFIX}${randomBytes(6).toString('hex')}`)
  try {
    makeFolder(folder)
    const file = await open(temporary, 'wx', mode)
    try {
      const owner = ownerAbove(temporary)
      if (owner) await file.chown(owner.uid, owner.gid).catch(() => undefined) // a file server need not let root
      await file.writeFile(data)
      await file.sync()
    } finally {
      await file.close()
    }
    return temporary
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw explainWriteError(error, path)
  }
}

async function replace(path: string, temporary: string): Promise<void> {
  try {
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw explainWriteError(error, path)
  }
}

/** Gives a file another name; false where there is none. */
async function setAside(path: string, aside: string): Promise<boolean> {
  try {
    if ((await lstat(path)).isDirectory()) throw Object.assign(new Error('it is a folder'), { code: 'EISDIR' })
    await rename(path, aside)
    await syncFolder(dirname(path))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw explainWriteError(error, path)
  }
}

/**
 * Makes a folder and those above it. Node's own recursive mkdir never ends, and takes all memory, where a folder exists but
 * answers ENOENT to a new name, as automounted homes and /proc do.
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) {
    mkdirSync(path, { recursive: true }) // says EEXIST when it is a file
    return
  }
  const parent = dirname(resolve(path))
  if (!existsSync(parent)) makeFolder(parent)
  try {
    mkdirSync(path)
    giveFolderToOwner(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  syncFolderNow(parent) // else a power cut may take the folder with all that was made durable in it
}

/**
 * Whose a new file or folder is to be where root makes it in a folder of another account: that account's, for an administrator's command
 * must not lock a service out of its own run. Undefined for others.
 */
function ownerAbove(path: string): { uid: number; gid: number } | undefined {
  if (process.geteuid?.() !== 0) return undefined
  const { uid, gid } = statSync(dirname(resolve(path)))
  return uid === 0 ? undefined : { uid, gid }
}

/**
 * Gives a folder that root has just made to whoever owns the one above it. That account may have put something else in its place by
 * now: a link is not followed, what is no folder is not opened, and only what was opened is given away.
 */
export function giveFolderToOwner(path: string): void {
  const owner = ownerAbove(path)
  if (!owner) return
  try {
    const folder = openSync(path, fileConstants.O_DIRECTORY | fileConstants.O_NOFOLLOW)
    try {
      fchownSync(folder, owner.uid, owner.gid)
    } finally {
      closeSync(folder)
    }
  } catch {
    // A file server need not let root do so.
  }
}

/**
 * Looks whether files could be written into a folder that need not be there yet, as far as that shows without making it: for work of
 * hours whose result goes there.
 * @throws MeshflError `PATH_NOT_WRITABLE`, `FILE_SERVER_AWAY`
 */
export function checkWritable(folder: string): void {
  let there = resolve(folder)
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there)
  try {
    // With the slash what is no folder is ENOTDIR.
    accessSync(join(there, sep), fileConstants.W_OK | fileConstants.X_OK)
  } catch (error) {
    throw explainWriteError(error, folder)
  }
}

function syncFolderNow(folder: string): void {
  let file: number
  try {
    file = openSync(folder, 'r')
  } catch (error) {
    if (isOutOfReach(error)) throw error
    return // as in syncFolder
  }
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Removes from a folder what a crash in `writeFileAtomic` left there. For a folder that nobody is writing to. */
export async function removeTemporaryFiles(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.startsWith(TEMPORARY_PREFIX)) await rm(join(folder, name), { force: true })
  }
}

/** Makes the names in a folder durable. Platforms that cannot open a folder need nothing. */
export async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle
  try {
    handle = await open(folder, 'r')
  } catch (error) {
    if (isOutOfReach(error)) throw error
    return // Windows cannot open a folder; its rename is already durable
  }
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
