import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** Where `node native/build.js --shim` builds them, which test/run.js does first. */
const programs = join(root, 'native/build/shim/cuda')
const built = existsSync(join(programs, 'kernels_test'))

/** A program's exit code and what it printed. */
function run(program: string, ...args: string[]): { status: number; stdout: string } {
  try {
    return { status: 0, stdout: execFileSync(join(programs, program), args, { encoding: 'utf8', cwd: root }) }
  } catch (error) {
    const { status, stdout } = error as { status: number | null; stdout: string }
    return { status: status ?? -1, stdout }
  }
}

describe.skipIf(!built)(
  `the CUDA backend on this CPU${built ? '' : ': not built: see node native/build.js --shim'}`,
  () => {
    test('every kernel agrees with plain loops in float64', { timeout: 600_000 }, () => {
      const { status, stdout } = run('kernels_test')
      expect(status, stdout).toBe(0)
      expect(stdout).toMatch(/^[1-9]\d* passed, 0 failed$/m)
    })

    test('through the C ABI it gives the numbers of PyTorch, and the same bits in every way', {
      timeout: 600_000,
    }, () => {
      const { status, stdout } = run('bench/meshfl_cuda_check', '--golden', 'fixtures/golden', '--edge', '16')
      expect(status, stdout).toBe(0)
      expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toMatchObject({ failed: 0, passed: expect.any(Number) })
    })

    test('a case can be checked alone, as run.sh does in many processes', { timeout: 600_000 }, () => {
      const name = 'gelu-one-channel-no-norm'
      const { status, stdout } = run('bench/meshfl_cuda_check', '--golden', 'fixtures/golden', '--case', name)
      expect(status, stdout).toBe(0)
      const checks = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter((line) => 'check' in line)
      expect(new Set(checks.map((check) => check.case))).toEqual(new Set([name, `${name} in bf16`]))
      expect(run('bench/meshfl_cuda_check', '--golden', 'fixtures/golden', '--case', 'none')).toMatchObject({
        status: 1,
        stdout: expect.stringContaining('there is no case none'),
      })
    })
  },
)
