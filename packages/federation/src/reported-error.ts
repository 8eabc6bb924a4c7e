import { basename } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { MAX_TEXT_BYTES, MAX_WORDS } from './messages.js'

const QUOTED_PATH = /(["'`])[^"'`\n]*[\\/][^"'`\n]*\1/g
const PATH = /(?:[A-Za-z]:)?[^\s"'`()]*[\\/][^\s"'`()]+/g
const FRAME = /^(\s+at (?:.*\()?)(?:file:\/\/)?([^()\s]*?)((?::\d+){0,2}\)?)$/

/**
 * What a site tells the coordinator of an exception: what kind it is and where in the program it was thrown. Our own errors
 * name files and cases, and those may name people: of them only the code is told. The site's own log has all of it.
 */
export function reportError(error: unknown): { message: string; stack: Uint8Array } {
  const message = describe(error)
  const frames = String((error as Error)?.stack ?? '')
    .split('\n')
    .flatMap((line) => {
      const match = FRAME.exec(line)
      return match ? [`${match[1]}${basename(match[2]!.replaceAll('\\', '/'))}${match[3]}`] : []
    })
  const stack = Buffer.from([message, ...frames].join('\n')).subarray(0, MAX_TEXT_BYTES)
  return { message, stack }
}

function describe(error: unknown): string {
  if (error instanceof MeshflError) return `${error.code}; the site’s own log says more`
  const { name, message, code, syscall } = Object(error) as NodeJS.ErrnoException
  if (typeof code === 'string' && typeof syscall === 'string')
    return `${code} in ${syscall}; the site’s own log says more`
  const words = String(message ?? error)
    .slice(0, 4000)
    .replace(QUOTED_PATH, '…')
    .replace(PATH, '…')
  return `${name === undefined || name === 'Error' ? '' : `${name}: `}${words}`.slice(0, MAX_WORDS)
}
