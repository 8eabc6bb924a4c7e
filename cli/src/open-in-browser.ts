import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Opens an address where that is simple: xdg-open on a desktop. @returns whether it was asked to */
export function openInBrowser(url: string, environment: NodeJS.ProcessEnv): boolean {
  if (!environment.DISPLAY && !environment.WAYLAND_DISPLAY) return false
  const folders = (environment.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/'))
  const opener = folders.map((folder) => join(folder, 'xdg-open')).find((path) => existsSync(path))
  if (opener === undefined) return false
  const child = spawn(opener, [url], { stdio: 'ignore', detached: true })
  // The address is printed all the same.
  child.on('error', () => undefined)
  child.unref()
  return true
}

/**
 * What to type on the machine with the browser, where this one was reached by ssh; undefined where it was not.
 * @param userName asked for only then; undefined where nobody knows it
 */
export function tunnelCommand(
  port: number,
  environment: NodeJS.ProcessEnv,
  userName: () => string | undefined,
): string | undefined {
  // SSH_CONNECTION: the client's address and port, then this machine's.
  const [, , host] = environment.SSH_CONNECTION?.split(' ') ?? []
  if (host === undefined) return undefined
  const user = userName()
  return `ssh -N -L ${port}:127.0.0.1:${port} ${user === undefined ? '' : `${user}@`}${host}`
}
