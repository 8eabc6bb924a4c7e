import { readFile } from 'node:fs/promises'
import { MeshflError } from '@meshfl/core'

/**
 * Reads a file that people write.
 * @param what it is, in words
 * @param refuse makes the error of a file that is no YAML
 * @throws MeshflError `FILE_NOT_FOUND`, and what `refuse` makes
 */
export async function readYamlFile(
  path: string,
  what: string,
  refuse: (why: string, cause: unknown) => MeshflError,
): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new MeshflError('FILE_NOT_FOUND', `cannot read ${path}`, { hint: `check the path of the ${what}`, cause })
  })
  const { parse } = await import('yaml')
  try {
    return parse(text, { logLevel: 'error' })
  } catch (cause) {
    throw refuse((cause as Error).message, cause)
  }
}
