import { opendir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { concurrently } from './concurrently.js'
import type { FoundCase } from './layouts/layout.js'

/** Folders looked at in one go: each is a question to a file server. */
const AT_A_TIME = 16

/**
 * The folders that a source's files lie in, and the source itself, as far as they are there when work begins. A table may name
 * folders that never were: they are not among them.
 */
export async function foldersThere(root: string, cases: readonly FoundCase[]): Promise<ReadonlySet<string>> {
  const there = new Set<string>()
  const paths = [...new Set([root, ...cases.flatMap(foldersOf)])]
  await concurrently(paths, AT_A_TIME, async (path) => {
    if (await isThere(path)) there.add(path)
  })
  return there
}

/**
 * Looks once more at where a case's files were listed, where the error is that one of them could not be read: a share that
 * goes away does not damage scans, and is not to make a dataset smaller.
 * @param there from `foldersThere`
 * @throws MeshflError `FILE_SERVER_AWAY`
 */
export async function checkSourceThere(
  error: MeshflError,
  there: ReadonlySet<string>,
  root: string,
  found: FoundCase,
): Promise<void> {
  if (error.code !== 'FILE_NOT_FOUND' && error.code !== 'FILE_NOT_READABLE') return
  for (const path of [root, ...foldersOf(found)]) {
    if (!there.has(path) || (await isThere(path))) continue
    throw new MeshflError('FILE_SERVER_AWAY', `${path} was there when work began and no longer is`, {
      hint: 'look whether its file system is still mounted, and run the same command again',
      data: { path },
    })
  }
}

/** Does `work` again where a disk or a network file system failed to give bytes (EIO): it often does the next time. */
export async function onceMoreAfterEio<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof MeshflError) || error.code !== 'FILE_NOT_READABLE' || error.data.code !== 'EIO') throw error
    return work()
  }
}

function foldersOf({ image, label }: FoundCase): string[] {
  return [dirname(image), dirname(label)]
}

/** An empty folder counts as none: it is what is left of a share that is no longer mounted. */
async function isThere(path: string): Promise<boolean> {
  try {
    const folder = await opendir(path)
    try {
      return (await folder.read()) !== null
    } finally {
      await folder.close()
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOTDIR' // a table
  }
}
