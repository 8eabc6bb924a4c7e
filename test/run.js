#!/usr/bin/env node
// Runs every check and test of the repository and ends with the one line `N passed, N failed`.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const bin = (name) => join(root, 'node_modules', '.bin', name)
const counts = { passed: 0, failed: 0, skipped: 0 }

const run = (command, args) => spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0

for (const [what, command, args] of [
  ['lint and format', 'biome', ['check', '.']],
  ['types of the tests', 'tsc', ['-p', 'tsconfig.test.json']],
  ['unused code and dependencies', 'knip', []],
]) {
  const passed = run(bin(command), args)
  process.stdout.write(`${passed ? '✓' : '✗'} ${what}\n`)
  counts[passed ? 'passed' : 'failed']++
}

// The CUDA backend for the CPU: its tests skip where no compiler is, so only a build that fails is a failure.
if (!run(process.execPath, [join(root, 'native/build.js'), '--shim'])) counts.failed++

const folder = mkdtempSync(join(tmpdir(), 'meshfl-test-'))
try {
  const file = join(folder, 'result.json')
  const passed = run(bin('vitest'), [
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${file}`,
    ...process.argv.slice(2),
  ])
  const result = JSON.parse(readFileSync(file, 'utf8'))
  counts.passed += result.numPassedTests
  counts.skipped += result.numPendingTests + result.numTodoTests
  // A file that fails before its first test, or an unhandled error, is a failure too.
  const brokenFiles = result.testResults.filter(
    (suite) => suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'),
  )
  counts.failed += result.numFailedTests + brokenFiles.length
  if (!passed && counts.failed === 0) counts.failed++
} catch (error) {
  process.stdout.write(`✗ vitest left no result: ${error.message}\n`)
  counts.failed++
} finally {
  rmSync(folder, { recursive: true, force: true })
}

process.stdout.write(
  `\n${counts.passed} passed, ${counts.failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}\n`,
)
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0
