import { closeSync, openSync } from 'node:fs'
import { isatty } from 'node:tty'

/** In the environment of a process that is to end with the one that started it, over whose IPC channel it hears of that. */
export const ENDS_WITH_PARENT = 'MESHFL_ENDS_WITH_PARENT'

/**
 * Listens for what stops a command: Ctrl-C and SIGTERM; the end of its terminal (SIGHUP); and, for the site of a simulation, the
 * end of the simulation, also by SIGKILL.
 * @param interrupt called at each Ctrl-C and SIGTERM: a second one may mean haste
 * @param leave called when terminal or parent are gone, which may be told more than once and never means haste
 * @returns ends the listening; a terminal's end goes on to be heard and changes nothing: it is told twice, by the kernel and by the
 * shell, and the second time may come when the command has ended and the process has not
 */
export function listenForStops(interrupt: () => void, leave: () => void): () => void {
  const onHangUp = outlivesTerminal() ? () => undefined : leave
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  process.on('SIGHUP', onHangUp)
  // Whoever else has a channel to this process, and closes it, has not asked for its end.
  const hasParent = process.env[ENDS_WITH_PARENT] !== undefined && process.connected !== undefined
  if (hasParent) {
    process.on('disconnect', leave)
    process.channel?.unref() // a listener would keep a process that is done
    if (!process.connected) leave()
  }
  return () => {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
    process.off('disconnect', leave)
  }
}

/**
 * Whether the process goes on without its terminal, as after `nohup`: that leaves none of the three streams on the terminal that
 * the process has. That it has SIGHUP ignored cannot be seen, as Node sets all signals back to their defaults before any script
 * runs.
 */
function outlivesTerminal(): boolean {
  return ![0, 1, 2].some((stream) => isatty(stream)) && hasTerminal()
}

function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false // ENXIO without one; ENOENT on Windows
  }
}
