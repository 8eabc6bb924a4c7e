import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Whether this process may mount something on a folder: only root may, and not in every container. */
export function canMount(argumentsFor: (folder: string) => string[]): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'meshfl-mount-'))
  try {
    execFileSync('mount', argumentsFor(folder), { stdio: 'ignore' })
    execFileSync('umount', [folder])
    return true
  } catch {
    return false
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
