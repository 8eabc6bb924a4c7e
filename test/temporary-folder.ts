import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

/** Every temporary folder of a test file, and of the processes that it starts, lies in one that goes with it. */
const folder = mkdtempSync(join(tmpdir(), 'meshfl-test-'))
process.env.TMPDIR = folder

afterAll(() => {
  // A process that was ended a moment ago may still be writing.
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
})
