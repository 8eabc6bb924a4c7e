import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, relative, sep } from 'node:path'
import { MeshflError } from '@meshfl/core'
import type { FoundCase } from './layouts/layout.js'

/** What many a table is called: the folder it lies in says more. */
const COMMON_TABLE_NAMES = /^(cases|data|dataset|images|index|list|manifest|participants|scans|subjects|table)$/i

/** What a dataset is called when nobody says: its source's folder or table; the folder of a table that is called `cases`. */
export function sourceName(root: string): string {
  const stem = /^(.+)\.(csv|tsv)$/i.exec(basename(root))?.[1]
  if (stem === undefined) return basename(root)
  return COMMON_TABLE_NAMES.test(stem) ? basename(dirname(root)) || stem : stem
}

/** A source file as a dataset names it: relative to the source, with slashes; its bare name where it lies elsewhere. */
export function shownPath(root: string, file: string): string {
  const path = relative(root, file).split(sep).join('/')
  return path === '' || path.startsWith('../') || /^([A-Za-z]:|\/)/.test(path) ? basename(file) : path
}

/** Takes the folders of this machine out of a sentence that names a case's files. */
export function withoutFolders(message: string, root: string, found: FoundCase): string {
  let text = message
  const files = [found.image, found.label, found.names ?? found.label]
  for (const file of files) text = text.replaceAll(file, shownPath(root, file))
  text = text.replaceAll(`${root}${sep}`, '')
  // What lies beside a file that a table lists: the .img of a .hdr.
  for (const file of files) text = text.replaceAll(`${dirname(file)}${sep}`, '')
  return text
}

/**
 * Refuses a pipe, a socket or a device, which a table may name: reading one may never come to an end.
 * @throws MeshflError `FILE_NOT_READABLE`
 */
export async function refuseSpecialFiles(found: FoundCase): Promise<void> {
  for (const path of [found.image, found.label, ...(found.names === undefined ? [] : [found.names])]) {
    // What is not there, or is a folder, is explained by the reader of volumes.
    const entry = await stat(path).catch(() => null)
    if (entry === null || entry.isFile() || entry.isDirectory()) continue
    throw new MeshflError('FILE_NOT_READABLE', `${path} is a pipe, a socket or a device, and no file`, {
      hint: 'give the path of a file',
      data: { path },
    })
  }
}

/** SHA-256 over the bytes of a case's files, both of a .hdr and .img pair. A file that is not there counts as empty. */
export async function hashSources(found: FoundCase): Promise<string> {
  const hash = createHash('sha256')
  for (const file of [found.image, found.label, found.names]) {
    if (file === undefined) continue
    const [, stem, one] = /^(.*)\.(hdr|img)(?:\.gz)?$/i.exec(file) ?? []
    const other = one?.toLowerCase() === 'hdr' ? 'img' : 'hdr'
    for (const path of stem === undefined ? [file] : [file, `${stem}.${other}`, `${stem}.${other}.gz`]) {
      // What cannot be read is explained by the reader of volumes, which names the file and the mend.
      const bytes = await readFile(path).catch(() => Buffer.alloc(0))
      hash.update(`${bytes.byteLength}\n`).update(bytes)
    }
  }
  return hash.digest('hex')
}
