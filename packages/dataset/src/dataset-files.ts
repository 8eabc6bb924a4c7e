import { readFile, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { explainReadError, explainWriteError, makeFolder, sha256, syncFolder, TEMPORARY_PREFIX } from '@meshfl/core'
import { listFolder } from './layouts/volume-file.js'

/** Where conformed volumes lie until the split is known, which it is when all cases have been checked. */
export const STAGING = '.staging'
const KINDS = ['images', 'labels'] as const

/** Where the volumes of a dataset folder are: `images/<id>.nii.gz` -> paths relative to the folder. */
export type FileIndex = Map<string, string[]>

/** The name of a case's volume below the folder that holds it. */
export function volumeName(kind: (typeof KINDS)[number], id: string): string {
  return `${kind}/${id}.nii.gz`
}

/** The volumes in the staging folder, at the root and in every site's folder. Sweeps temporary files that a crash left. */
export async function indexFiles(folder: string): Promise<FileIndex> {
  const index: FileIndex = new Map()
  const sites = (await listFolder(join(folder, 'sites')))?.folders ?? []
  for (const part of ['', STAGING, ...sites.map((site) => `sites/${site}`)]) {
    await sweep(join(folder, part))
    for (const kind of KINDS) {
      await sweep(join(folder, part, kind))
      for (const file of (await listFolder(join(folder, part, kind)))?.files ?? []) {
        const name = `${kind}/${file}`
        index.set(name, [...(index.get(name) ?? []), part === '' ? name : `${part}/${name}`])
      }
    }
  }
  return index
}

/**
 * The path of the copy of a volume whose bytes have this hash.
 * @throws MeshflError `FILE_NOT_READABLE`, `FILE_SERVER_AWAY`, `OPEN_FILES_USED_UP`: a copy is there and cannot be read
 */
export async function findIntact(
  folder: string,
  index: FileIndex,
  name: string,
  sha: string,
): Promise<string | undefined> {
  for (const path of index.get(name) ?? []) {
    const file = join(folder, path)
    const bytes = await readFile(file).catch((error: unknown) => {
      throw explainReadError(error, file)
    })
    if (sha256(bytes) === sha) return path
  }
  return undefined
}

/** Moves volumes to where they belong: from path to path, relative to the folder. */
export async function placeFiles(folder: string, moves: ReadonlyMap<string, string>): Promise<void> {
  const touched = new Set<string>()
  for (const [from, to] of moves) {
    if (from === to) continue
    const target = join(folder, to)
    try {
      makeFolder(dirname(target))
      await rename(join(folder, from), target)
    } catch (error) {
      throw explainWriteError(error, target)
    }
    touched.add(dirname(target))
  }
  for (const path of touched) await syncFolder(path)
}

/**
 * Removes volumes that a former run left and this one has no use for, and the staging folder.
 * @param ours ids of the cases that meshfl wrote here: nothing else is touched
 */
export async function removeStale(
  folder: string,
  index: FileIndex,
  ours: ReadonlySet<string>,
  keep: ReadonlySet<string>,
): Promise<void> {
  for (const id of ours) {
    for (const path of KINDS.flatMap((kind) => index.get(volumeName(kind, id)) ?? [])) {
      if (!keep.has(path)) await rm(join(folder, path), { force: true })
    }
  }
  await rm(join(folder, STAGING), { recursive: true, force: true })
}

/** Removes the folders of sites that hold nothing any more: of a run with more sites that never came to its end. */
export async function removeEmptySites(folder: string): Promise<void> {
  const root = join(folder, 'sites')
  const sites = (await listFolder(root))?.folders ?? []
  for (const path of [...sites.flatMap((site) => [...KINDS, ''].map((part) => join(root, site, part))), root]) {
    // One that is in use, or a link to another disk, is not removed; an empty one that stays does no harm.
    await rmdir(path).catch(() => undefined)
  }
}

async function sweep(folder: string): Promise<void> {
  for (const file of (await listFolder(folder))?.files ?? []) {
    if (file.startsWith(TEMPORARY_PREFIX)) await rm(join(folder, file), { force: true })
  }
}
