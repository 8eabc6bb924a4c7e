import { readFile } from 'node:fs/promises'
import { explainReadError, MeshflError, systemErrorName } from '@meshfl/core'

/**
 * Reads a file that people write.
 * @param what it is, in words
 * @param refuse makes the error of a file that is no YAML
 * @throws MeshflError `FILE_NOT_FOUND`, `FILE_NOT_READABLE`, others of `explainReadError`, and what `refuse` makes
 */
export async function readYamlFile(
  path: string,
  what: string,
  refuse: (why: string, cause: unknown) => MeshflError,
): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((cause) => {
    if (systemErrorName(cause) !== 'ENOENT') throw explainReadError(cause, path)
    throw new MeshflError('FILE_NOT_FOUND', `there is no file ${path}`, {
      hint: `check the path of the ${what}`,
      cause,
    })
  })
  const { parse } = await import('yaml')
  try {
    return parse(text, { logLevel: 'error' })
  } catch (cause) {
    throw refuse((cause as Error).message, cause)
  }
}
