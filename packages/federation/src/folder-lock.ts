import { linkSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { explainWriteError, MeshflError, makeFolder } from '@meshfl/core'

const held = new Set<string>()

/**
 * Makes this process the only one that works in a folder. The lock file names the process and when it began, so one that a
 * killed process left does not count, even when its number was given to another.
 * @throws MeshflError `RUN_LOCKED`, `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export function lockFolder(folder: string): { release(): void } {
  const content = JSON.stringify({ pid: process.pid, started: processStart(process.pid), host: hostname() })
  let path: string
  try {
    makeFolder(folder)
    path = join(realpathSync(folder), '.lock')
    for (let attempt = 0; ; attempt++) {
      try {
        const fresh = `${path}-${process.pid}`
        writeFileSync(fresh, content)
        try {
          linkSync(fresh, path) // whole or not at all, and only where none is
        } finally {
          rmSync(fresh, { force: true })
        }
        break
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        const owner = readOwner(path)
        if (attempt > 20 || (owner && isRunning(owner, path))) throw locked(folder, owner?.pid)
        discardDeadLock(path, `${path}-${process.pid}-${attempt}`)
      }
    }
  } catch (error) {
    throw explainWriteError(error, folder)
  }
  held.add(path)
  return {
    release() {
      if (!held.delete(path)) return
      try {
        rmSync(path, { force: true })
      } catch {
        return // where it cannot be removed, it is the lock of a process that is gone, or holds it no more: that stops nobody
      }
    },
  }
}

/**
 * Whether a process of another machine, or of another container, has locked a folder on a file system that both see. Whether it
 * lives cannot be told from here.
 */
export function isLockedElsewhere(folder: string): boolean {
  const host = readOwner(join(folder, '.lock'))?.host
  return host !== undefined && host !== hostname()
}

/** Between two claimants of a dead lock, the slower one may rename the faster one's living lock: then it puts it back. */
function discardDeadLock(path: string, aside: string): void {
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const owner = readOwner(aside)
  if (owner && isRunning(owner, path)) linkSync(aside, path)
  rmSync(aside, { force: true })
}

interface Owner {
  pid: number
  started: string | null
  host: string | undefined
}

function readOwner(path: string): Owner | undefined {
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<Owner>
    return Number.isInteger(value.pid)
      ? { pid: value.pid!, started: value.started ?? null, host: value.host }
      : undefined
  } catch {
    return undefined // gone meanwhile, or cut short by a crash
  }
}

function isRunning(owner: Owner, path: string): boolean {
  if (owner.pid === process.pid) return held.has(path)
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return owner.started === null || owner.started === processStart(owner.pid)
}

/** When a process began, in ticks since the machine did; null where the system does not tell. */
function processStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

function locked(folder: string, pid: number | undefined): MeshflError {
  return new MeshflError('RUN_LOCKED', `${folder} is in use by process ${pid ?? '?'}`, {
    hint: 'stop that process, or choose another --out',
    data: { folder, pid },
  })
}
