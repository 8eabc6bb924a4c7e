import { existsSync, statSync } from 'node:fs'
import { MeshflError } from '@meshfl/core'

/**
 * Looks whether a model may be written to a path, before the work for it is done.
 * @throws MeshflError `PATH_NOT_WRITABLE` when it names a folder, `MODEL_FILE_EXISTS` when there is a file, unless it may be replaced
 */
export function checkModelOut(path: string, force: boolean | undefined): void {
  if (/[/\\]$/.test(path) || isFolder(path)) {
    throw new MeshflError('PATH_NOT_WRITABLE', `cannot write ${path}: it names a folder`, {
      kind: 'usage',
      hint: 'give with --out the name of the file to write',
      data: { path },
    })
  }
  if (force || !existsSync(path)) return
  throw new MeshflError('MODEL_FILE_EXISTS', `${path} is there already`, {
    kind: 'usage',
    hint: 'choose another --out, or replace it with --force',
  })
}

const isFolder = (path: string): boolean => existsSync(path) && statSync(path).isDirectory()
