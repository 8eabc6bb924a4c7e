import { MeshflError } from '@meshfl/core'
import type { OutputOptions } from './output.js'

export function exitCodeOf(error: unknown): number {
  return error instanceof MeshflError ? error.exitCode : 1
}

/** What a command that was stopped ends with; `startsOver`: it has kept nothing that it would go on from. */
export function interruption(howToContinue: string | undefined, startsOver = false): MeshflError {
  return new MeshflError(
    'INTERRUPTED',
    startsOver ? 'stopped before its end' : 'stopped; everything done so far is kept',
    {
      kind: 'interrupted',
      hint: howToContinue ?? `run the same command again${startsOver ? ': it begins anew' : ' to go on'}`,
    },
  )
}

/** Whether an error is but the echo of a stop. */
export function isAbort(error: unknown): boolean {
  return error instanceof MeshflError
    ? error.kind === 'interrupted'
    : (error as Error | undefined)?.name === 'AbortError'
}

/** Prints an error as code, sentence and hint: to stderr, or as a JSON line. */
export async function printError(error: unknown, options: OutputOptions): Promise<void> {
  if (options.json) {
    const line =
      error instanceof MeshflError
        ? { type: 'error', code: error.code, message: error.message, ...(error.hint ? { hint: error.hint } : {}) }
        : {
            type: 'error',
            code: 'INTERNAL',
            message: String((error as Error)?.message ?? error),
            hint: 'this is a fault of meshfl: please report it',
          }
    process.stdout.write(`${JSON.stringify(line)}\n`)
    if (error instanceof MeshflError) return
  }
  const { formatError, wantsColor } = await import('@meshfl/terminal')
  const color = options.color !== false && wantsColor(process.stderr)
  process.stderr.write(`${formatError(error, { color }).join('\n')}\n`)
}
