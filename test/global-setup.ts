import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The temporary folders of all test files lie in one: a file whose tests are all skipped never comes to remove its own. */
export default function makeRoot(): () => void {
  // What the end-to-end tests run is what was compiled last. Others need nothing compiled.
  const cli = fileURLToPath(new URL('../cli', import.meta.url))
  if (existsSync(join(cli, 'build'))) execFileSync(process.execPath, [join(cli, 'bundle.js')])
  else if (existsSync(join(cli, 'dist'))) throw new Error('cli/dist is of an earlier checkout: npm run build')
  const root = mkdtempSync(join(tmpdir(), 'meshfl-test-'))
  process.env.TMPDIR = root
  return () => rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
}
