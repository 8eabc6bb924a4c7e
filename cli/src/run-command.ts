import { MeshflError } from '@meshfl/core'
import { type Output, type OutputOptions, type OutputRequest, openOutput } from './output.js'

export interface CommandContext {
  output: Output
  /** Aborts when someone stops the command: Ctrl-C, SIGTERM, or q in the live view. */
  signal: AbortSignal
  /** Stops the command as Ctrl-C does. */
  interrupt(): void
}

/** What a command says when it was stopped: how to go on. */
export interface CommandRequest extends Omit<OutputRequest, 'onQuit'> {
  howToContinue?: string
}

/**
 * Runs the body of a command: opens its output, turns signals into an abort, prints errors as code, sentence and hint, and sets
 * the exit code. A second Ctrl-C ends the process at once.
 */
export async function runCommand(
  options: OutputOptions,
  request: CommandRequest,
  body: (context: CommandContext) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort(interruption(request.howToContinue))
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  let output: Output | undefined
  try {
    output = await openOutput(options, { ...request, onQuit: interrupt })
    await body({ output, signal: controller.signal, interrupt })
    await output.stop()
  } catch (thrown) {
    const error = controller.signal.aborted && isAbort(thrown) ? controller.signal.reason : thrown
    await output?.stop().catch(() => undefined)
    await printError(error, options)
    process.exitCode = error instanceof MeshflError ? error.exitCode : 1
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}

function interruption(howToContinue: string | undefined): MeshflError {
  return new MeshflError('INTERRUPTED', 'stopped; everything done so far is kept', {
    kind: 'interrupted',
    hint: howToContinue ?? 'run the same command again to go on',
  })
}

function isAbort(error: unknown): boolean {
  return error instanceof MeshflError
    ? error.kind === 'interrupted'
    : (error as Error | undefined)?.name === 'AbortError'
}

async function printError(error: unknown, options: OutputOptions): Promise<void> {
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
