import { closeSync } from 'node:fs'
import { isatty } from 'node:tty'

/**
 * Lets this process end as it would have where its terminal is closed meanwhile. Node sets the terminal's mode back at the end
 * and aborts where that fails, also after a command that did all it was to do; it passes over streams that are closed.
 */
export function outliveTerminal(): void {
  const onTerminal = [0, 1, 2].filter((stream) => isatty(stream))
  process.once('exit', () => {
    for (const stream of onTerminal) if (!isatty(stream)) closeSync(stream)
  })
}
