import type { MeshflError } from '@meshfl/core'
import { lockFolder } from '@meshfl/federation'

export interface LockDatasetOptions {
  signal: AbortSignal
  onNote(message: string): void
  onLost(error: MeshflError): void
}

/**
 * Makes this process the only one that works in a dataset's folder. Without a lock, and told so, where the file system has no hard
 * links (exFAT, some network shares): datasets are carried on such disks.
 * @throws MeshflError `RUN_LOCKED`, `INTERRUPTED`, `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export async function lockDataset(
  folder: string,
  { signal, onNote, onLost }: LockDatasetOptions,
): Promise<{ release(): void }> {
  try {
    return await lockFolder(folder, { signal, onWatch: onNote, onLost })
  } catch (error) {
    const { syscall, code } = ((error as Error).cause ?? error) as NodeJS.ErrnoException
    if (syscall !== 'link' || code === 'EACCES' || code === 'ENOSPC') throw error
    onNote(`the file system of ${folder} has no hard links (${code}): nothing keeps a second meshfl out of it`)
    return { release: () => undefined }
  }
}
