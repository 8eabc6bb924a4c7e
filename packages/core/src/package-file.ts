import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

/**
 * A file that a package ships, found by the package's name: the code that asks lies in its `src`, in its `dist`, or in the command
 * line's bundle.
 * @param from `import.meta.url` of the code that asks
 */
export function packageFile(name: string, file: string, from: string): URL {
  return new URL(file, pathToFileURL(createRequire(from).resolve(`${name}/package.json`)))
}
