import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root, temporaryFolder } from './cli.js'

test('the packed command line installs in an empty folder without a network and runs the demo there', () => {
  const packed = temporaryFolder('packed')
  const archive = execFileSync(process.execPath, [join(root, 'cli/pack.js'), packed], { encoding: 'utf8' }).trim()
  const home = temporaryFolder('installed')
  const env = { ...process.env, CI: '1' }
  execFileSync('npm', ['install', '--offline', '--no-audit', '--no-fund', '--silent', archive], {
    cwd: home,
    env,
    stdio: 'pipe',
  })
  const meshfl = join(home, 'node_modules/.bin/meshfl')
  const printed = execFileSync(meshfl, ['demo', '--rounds', '1', '--sites', '2', '--json'], {
    cwd: home,
    env,
    encoding: 'utf8',
  })
  const last = JSON.parse(printed.trim().split('\n').at(-1)!)
  expect(last).toMatchObject({ type: 'report' })
  expect(existsSync(join(home, last.path, 'report.html'))).toBe(true)
}, 300_000)
