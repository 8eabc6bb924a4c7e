import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The temporary folders of all test files lie in one: a file whose tests are all skipped never comes to remove its own. */
export default function makeRoot(): () => void {
  const root = mkdtempSync(join(tmpdir(), 'meshfl-test-'))
  process.env.TMPDIR = root
  return () => rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
}
