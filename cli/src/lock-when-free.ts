import { setTimeout as wait } from 'node:timers/promises'
import { type FolderLock, lockFolder, MeshflError } from '@meshfl/core'

/** The longest that a step may take, after which a process that was told to end has ended. */
const MOST_MS = 120_000

export interface LockWhenFreeOptions {
  signal: AbortSignal
  /** Called once, when another process is in the folder. */
  onWait?(message: string): void
  /** How long to wait for the end of another process of this machine. Default: two minutes. */
  mostMs?: number
  /** How often to look. Default: every 100 ms. */
  pollMs?: number
}

/**
 * Takes the lock of a folder as soon as no other process works in it.
 * @throws MeshflError `RUN_LOCKED` when it was in use for too long, `DISK_FULL`, `PATH_NOT_WRITABLE`, `INTERRUPTED`; Error `AbortError`
 */
export async function lockWhenFree(folder: string, options: LockWhenFreeOptions): Promise<FolderLock> {
  const { signal, onWait = () => undefined, mostMs = MOST_MS, pollMs = 100 } = options
  const begin = performance.now()
  for (let isTold = false; ; isTold = true) {
    try {
      return await lockFolder(folder, { signal, onWatch: onWait })
    } catch (error) {
      const isLocked = error instanceof MeshflError && error.code === 'RUN_LOCKED'
      if (!isLocked || performance.now() - begin > mostMs) throw error
      if (!isTold) onWait(`${error.message}: waiting for its end`)
    }
    await wait(pollMs, undefined, { signal })
  }
}

/**
 * As `lockWhenFree`, for what is written all the same where no lock can be had, as in the folder of a run that goes on.
 * @throws what the signal gives
 */
export async function lockOrGoOn(folder: string, options: LockWhenFreeOptions): Promise<FolderLock | undefined> {
  try {
    return await lockWhenFree(folder, options)
  } catch {
    options.signal.throwIfAborted()
    return undefined
  }
}
