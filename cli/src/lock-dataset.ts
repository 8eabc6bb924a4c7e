import { type FolderLock, lockFolder } from '@meshfl/federation/folder-lock'

export interface LockDatasetOptions {
  signal: AbortSignal
  onNote(message: string): void
}

/**
 * Makes this process the only one that works in a dataset's folder. Without a lock, and told so, where the file system has no hard
 * links (exFAT, some network shares): datasets are carried on such disks.
 * @throws MeshflError `RUN_LOCKED`, `INTERRUPTED`, `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export async function lockDataset(folder: string, { signal, onNote }: LockDatasetOptions): Promise<FolderLock> {
  try {
    return await lockFolder(folder, { signal, onWatch: onNote })
  } catch (error) {
    const { syscall, code } = ((error as Error).cause ?? error) as NodeJS.ErrnoException
    if (syscall !== 'link' || code === 'EACCES' || code === 'ENOSPC') throw error
    onNote(`the file system of ${folder} has no hard links (${code}): nothing keeps a second meshfl out of it`)
    return { lost: new AbortController().signal, release: () => undefined }
  }
}
