import { MeshflError } from '@meshfl/core'
import { openFileLimit, sitesAndOthers } from './file-limit.js'

/** A site's end takes the socket, its mailbox, its monitor's two ends, the connection; the coordinator's end of that one more; files being written. */
const FILES_A_SITE = 8
const FILES_BESIDE = 256
const SOCKETS_A_SITE = 4
/** What libzmq allows one context. */
const MOST_SOCKETS = 65_535

/**
 * Whether this process can hold so many sites and their coordinator.
 * @param otherFiles what else of the process holds open: figures, metrics
 * @param limit files that it may have open; undefined where the system does not say
 * @throws MeshflError `SIMULATE_TOO_MANY_SITES`, `OPEN_FILES_TOO_FEW`
 */
export function checkSitesOfProcess(sites: number, otherFiles = 0, limit: number | undefined = openFileLimit()): void {
  const most = Math.floor((MOST_SOCKETS - 16) / SOCKETS_A_SITE)
  if (sites > most) {
    throw new MeshflError(
      'SIMULATE_TOO_MANY_SITES',
      `${sites} sites are more than the ${most} that one process can hold`,
      {
        kind: 'usage',
        hint: 'deal the dataset to fewer sites',
        data: { sites, most },
      },
    )
  }
  const needed = FILES_A_SITE * sites + FILES_BESIDE + otherFiles
  if (limit === undefined || limit >= needed) return
  throw new MeshflError(
    'OPEN_FILES_TOO_FEW',
    `${sitesAndOthers(sites, otherFiles)} in one process need ${needed} open files, it may have ${limit}`,
    { hint: `raise the limit, for example with: ulimit -n ${needed}`, data: { sites, otherFiles, needed, limit } },
  )
}
