import { setTimeout as wait } from 'node:timers/promises'
import { lockFolder, MeshflError } from '@meshfl/core'

const POLL_MS = 100
/** The longest that a step may take, after which a process that was told to end has ended. */
const MOST_MS = 120_000

export interface WhenUnlockedOptions {
  signal: AbortSignal
  /** Called once, when another process is in the folder. */
  onWait(message: string): void
}

/**
 * Waits until no other process works in a folder.
 * @throws MeshflError `RUN_LOCKED` after two minutes, `DISK_FULL`, `PATH_NOT_WRITABLE`; Error `AbortError`
 */
export async function whenUnlocked(folder: string, { signal, onWait }: WhenUnlockedOptions): Promise<void> {
  const begin = performance.now()
  for (let isTold = false; ; isTold = true) {
    try {
      const lock = await lockFolder(folder, { signal, onWatch: onWait })
      lock.release()
      return
    } catch (error) {
      const isLocked = error instanceof MeshflError && error.code === 'RUN_LOCKED'
      if (!isLocked || performance.now() - begin > MOST_MS) throw error
      if (!isTold) onWait(`${error.message}: waiting for its end`)
    }
    await wait(POLL_MS, undefined, { signal })
  }
}
