import { homedir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '@meshfl/core'

/**
 * Where a site keeps its keys and state when no `--out` says so: the user's state folder (XDG_STATE_HOME), so that the
 * dataset may be read-only. The same coordinator and site give the same folder, so that joining again goes on, with a new
 * invite too.
 */
export function siteStateFolder(invite: string, site: string): string {
  const [, coordinatorKeys = invite] = invite.split('/')
  const state = process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state')
  return join(state, 'meshfl', sha256(coordinatorKeys).slice(0, 12), site.replaceAll(/[^\w.-]/g, '_'))
}
