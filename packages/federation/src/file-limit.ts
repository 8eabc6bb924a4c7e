import { readFileSync } from 'node:fs'
import { MeshflError } from '@meshfl/core'

/** Beside one connection a site: files of the run, the event loop's own, and connections that are being made anew. */
const BESIDE_SITES = 64

/** How many files this process may have open; undefined where the system does not say. */
export function openFileLimit(): number | undefined {
  try {
    const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return limit === undefined || limit === 'unlimited' ? undefined : Number(limit)
  } catch {
    return undefined // no /proc: where Node raises the limit itself as far as it may
  }
}

/**
 * A server that runs out of file descriptors while sites connect waits for what nobody gives back: better not to start.
 * @param otherFiles what else of the process holds open: figures, metrics, the ends of tunnels
 * @throws MeshflError `OPEN_FILES_TOO_FEW`
 */
export function checkFileLimit(sites: number, otherFiles: number, limit: number | undefined): void {
  const needed = sites + BESIDE_SITES + otherFiles
  if (limit === undefined || limit >= needed) return
  throw new MeshflError(
    'OPEN_FILES_TOO_FEW',
    `${sitesAndOthers(sites, otherFiles)} need ${needed} open files, this process may have ${limit}`,
    {
      hint: `raise the limit, for example with: ulimit -n ${Math.max(4096, needed)}`,
      data: { sites, otherFiles, needed, limit },
    },
  )
}

/** What needs the files, in words. */
export function sitesAndOthers(sites: number, otherFiles: number): string {
  return otherFiles === 0 ? `${sites} sites` : `${sites} sites with their figures, metrics and tunnels`
}
