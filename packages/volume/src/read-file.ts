import { readFile, stat } from 'node:fs/promises'
import { explainReadError } from '@meshfl/core'
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
