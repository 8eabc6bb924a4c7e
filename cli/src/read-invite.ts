import { readFile } from 'node:fs/promises'
import { MeshflError } from '@meshfl/core'

/**
 * The invite itself, or what stands in the file that `@file` names: words of a command are visible to every user of a machine.
 * @throws MeshflError `FILE_NOT_READABLE`
 */
export async function readInvite(words: string): Promise<string> {
  if (!words.startsWith('@')) return words
  const path = words.slice(1)
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    throw new MeshflError('FILE_NOT_READABLE', `cannot read the invite in ${path}: ${(error as Error).message}`, {
      hint: 'name a file that holds what the coordinator printed: mfl1:...',
      data: { path },
      cause: error,
    })
  }
}
