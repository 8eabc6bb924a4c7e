import { type Output, type OutputOptions, type OutputRequest, openOutput } from './output.js'
import { listenForStops } from './when-to-stop.js'

export interface CommandContext {
  output: Output
  /** Aborts when someone stops the command: Ctrl-C, SIGTERM, a closed terminal, or q in the live view. */
  signal: AbortSignal
  /** Stops the command as Ctrl-C does. */
  interrupt(): void
}

/** What a command says when it was stopped: how to go on. */
export interface CommandRequest extends Omit<OutputRequest, 'onQuit'> {
  howToContinue?: string
  /** A command that keeps nothing to go on from. */
  startsOver?: boolean
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
  // Not imported above: --help is not to wait for the schemas behind the errors.
  const { exitCodeOf, interruption, isAbort, printError } = await import('./command-errors.js')
  const controller = new AbortController()
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort(interruption(request.howToContinue, request.startsOver))
  }
  const stopListening = listenForStops(interrupt, () => {
    if (!controller.signal.aborted) interrupt()
  })
  let output: Output | undefined
  try {
    output = await openOutput(options, { ...request, onQuit: interrupt })
    await body({ output, signal: controller.signal, interrupt })
    await output.stop()
  } catch (thrown) {
    const error = controller.signal.aborted && isAbort(thrown) ? controller.signal.reason : thrown
    await output?.stop().catch(() => undefined)
    await printError(error, options)
    process.exitCode = exitCodeOf(error)
  } finally {
    stopListening()
  }
}
