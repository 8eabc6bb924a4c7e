import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { readFile, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MeshflError } from './errors.js'
import { explainWriteError, systemErrorName } from './file-errors.js'
import { makeFolder } from './files.js'
import { isNear, isRunning, type LockLook, type LockOwner, lockOwner, lookAtLock, ownProcess } from './lock-owner.js'

/** The lock of a folder; while it is being made or discarded, files whose names begin with this one are there for a moment. */
export const LOCK_FILE = '.lock'
/** How often a lock is touched by whoever holds it, in milliseconds. */
export const LOCK_TOUCH_MS = 2000
/** Signs of life that a lock of another machine must fail to give, one after the other, before it counts as dead. */
const MISSED_TOUCHES = 5
/** A process with thousands of locks, as a simulation of as many sites has, touches each the more seldom. */
const TOUCH_MS_A_LOCK = 20
const MOST_TOUCH_MS = 600_000
const MOST_ATTEMPTS = 20
/** What a file system says that has no hard links: exFAT, some network shares. */
const NO_LINKS: readonly (string | undefined)[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']
/** How long a lock may be empty that is being written where there are no hard links. */
const WRITING_MS = 200

const held = new Set<string>()

export interface FolderLock {
  /**
   * Aborted, with the error as its reason, when another process has taken the lock, as one may when this one stood still for long:
   * nothing may be written any more.
   */
  readonly lost: AbortSignal
  release(): void
}

export interface FolderLockOptions {
  /** How often the lock is touched, and one of another machine looked at. Default: 2 s. */
  touchMs?: number
  /** Told, in words, when the lock of another machine is to be watched: that takes six touches at most. */
  onWatch?(message: string): void
  /** Ends watching. */
  signal?: AbortSignal
}

/**
 * Makes this process the only one that works in a folder, also among those of other machines and containers that see it. The lock
 * file names the process and when it began, so one that a killed process left does not count, even when its number was given to
 * another. Whether a process lives elsewhere cannot be looked up: the holder touches the file now and then, and whoever finds the
 * file of another machine watches whether it is touched.
 * @throws MeshflError `RUN_LOCKED`, `INTERRUPTED`, `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export async function lockFolder(folder: string, options: FolderLockOptions = {}): Promise<FolderLock> {
  const leastTouchMs = options.touchMs ?? LOCK_TOUCH_MS
  const touchMs = Math.min(MOST_TOUCH_MS, Math.max(leastTouchMs, TOUCH_MS_A_LOCK * held.size))
  const claim = randomBytes(8).toString('hex')
  const content = JSON.stringify({ ...ownProcess(), claim, touchMs })
  try {
    makeFolder(folder)
    const path = join(realpathSync(folder), LOCK_FILE)
    for (let attempt = 0; !claimLock(path, content, claim); attempt++) {
      const found = lookAtLock(path)
      const owner = found && lockOwner(found.text)
      if (attempt > MOST_ATTEMPTS) throw locked(folder, owner)
      if (!found) continue
      if (found.text === '') {
        await sleep(WRITING_MS)
        if (lookAtLock(path)?.text !== '') continue
      }
      if (owner && isNear(owner)) {
        if (owner.pid === process.pid ? held.has(path) : isRunning(owner)) throw locked(folder, owner)
      } else if (owner) {
        const lookMs = Math.max(leastTouchMs, Math.min(MOST_TOUCH_MS, owner.touchMs ?? 0))
        options.onWatch?.(
          `${folder} was locked by ${describeOwner(owner)}: watching for ${(lookMs * MISSED_TOUCHES) / 1000} s whether that still runs`,
        )
        const alive = await watchLock(path, found, lookMs, options.signal)
        if (alive) throw locked(folder, lockOwner(alive.text))
      }
      discardDeadLock(path, found, `${path}-${claim}`)
    }
    held.add(path)
    const lost = new AbortController()
    const touching = keepTouching(path, content, touchMs, (text) => lost.abort(locked(folder, lockOwner(text))))
    return {
      lost: lost.signal,
      release() {
        clearInterval(touching)
        if (!held.delete(path)) return
        try {
          if (lookAtLock(path)?.text === content) rmSync(path, { force: true })
        } catch {
          return // where it cannot be removed, it is the lock of a process that is gone, or holds it no more: that stops nobody
        }
      },
    }
  } catch (error) {
    throw explainWriteError(error, folder)
  }
}

/** Whether a process of another machine, or of another container, has locked a folder on a file system that both see. */
export function isLockedElsewhere(folder: string): boolean {
  const look = lookAtLock(join(folder, LOCK_FILE))
  const owner = look && lockOwner(look.text)
  return owner !== undefined && !isNear(owner)
}

/** Whether the lock is ours now: whole or not at all, and only where none was. */
function claimLock(path: string, content: string, claim: string): boolean {
  const fresh = `${path}-${claim}` // a name of its own: the processes of two containers can have one number
  try {
    writeFileSync(fresh, content)
    linkSync(fresh, path)
    return true
  } catch (error) {
    const name = systemErrorName(error)
    if (NO_LINKS.includes(name)) return createLock(path, content)
    if (name !== 'EEXIST') throw error
    // NFS: when the first answer was lost, what was asked twice fails although it was done.
    return lookAtLock(path)?.text === content
  } finally {
    rmSync(fresh, { force: true })
  }
}

/** The same where there are no hard links: for a moment others see it empty. */
function createLock(path: string, content: string): boolean {
  try {
    writeFileSync(path, content, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    rmSync(path, { force: true })
    throw error
  }
}

/**
 * What is seen of a lock when it was touched, or is another process's by now; undefined where it is as it was found, or gone. Looks
 * are counted, not seconds: when a file server hangs, its answer is late and so is the holder's sign of life.
 */
async function watchLock(
  path: string,
  found: LockLook,
  touchMs: number,
  signal: AbortSignal | undefined,
): Promise<LockLook | undefined> {
  for (let missed = 0; missed < MISSED_TOUCHES; missed++) {
    await sleep(touchMs, undefined, { signal }).catch((error: unknown) => {
      throw new MeshflError('INTERRUPTED', 'stopped while another process’s lock was watched; nothing was changed', {
        kind: 'interrupted',
        hint: 'run the same command again',
        cause: error,
      })
    })
    const look = lookAtLock(path)
    // Not compared with our clock: that of a file server is another one.
    if (!look || !isSame(look, found)) return look
  }
  return undefined
}

/**
 * Between two claimants of a dead lock, the slower one may rename the faster one's living lock, or one whose owner just gave a sign
 * of life: then it puts it back.
 */
function discardDeadLock(path: string, dead: LockLook, aside: string): void {
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const moved = lookAtLock(aside)
  try {
    if (moved && !isSame(moved, dead)) linkSync(aside, path)
  } catch (error) {
    const name = systemErrorName(error)
    const hasLinks = !NO_LINKS.includes(name)
    if (hasLinks && name !== 'EEXIST') throw error
    // Else a third one was faster still: the owner learns that it has lost the lock when it touches it next.
    if (!hasLinks && !existsSync(path)) renameSync(aside, path)
  } finally {
    rmSync(aside, { force: true })
  }
}

function isSame(a: LockLook, b: LockLook): boolean {
  return a.text === b.text && a.touched === b.touched
}

/** Gives a sign of life again and again, for as long as the lock is ours. */
function keepTouching(path: string, content: string, touchMs: number, onLost: (text: string) => void): NodeJS.Timeout {
  let isTouching = false
  const touch = async (): Promise<void> => {
    if (isTouching) return // a file server that hangs
    isTouching = true
    try {
      const text = await readFile(path, 'utf8')
      if (text === content) await utimes(path, new Date(), new Date())
      else if (held.has(path)) {
        clearInterval(timer)
        onLost(text)
      }
    } catch {
      return // a full disk or a moment without the file server ends no run; the next touch comes soon
    } finally {
      isTouching = false
    }
  }
  const timer = setInterval(() => void touch(), touchMs)
  return timer.unref()
}

function describeOwner({ pid, host }: LockOwner): string {
  if (host === undefined) return `process ${pid}`
  return host === hostname()
    ? `process ${pid} of another container or machine of the name ${host}`
    : `process ${pid} on ${host}`
}

function locked(folder: string, owner: LockOwner | undefined): MeshflError {
  const isElsewhere = owner !== undefined && !isNear(owner)
  const who = owner === undefined ? 'another process' : isElsewhere ? describeOwner(owner) : `process ${owner.pid}`
  return new MeshflError('RUN_LOCKED', `${folder} is in use by ${who}`, {
    hint: isElsewhere
      ? 'stop that process there, or choose another --out'
      : 'stop that process, or choose another --out',
    data: { folder, pid: owner?.pid, ...(isElsewhere ? { host: owner.host } : {}) },
  })
}
