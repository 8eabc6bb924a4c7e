import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { root, temporaryFolder } from './cli.js'

test('the packed command line installs in an empty folder without a network, and runs the demo and shows it there', async () => {
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
  const view = spawn(meshfl, ['view', join(home, 'meshfl-demo/run'), '--json'], { cwd: home, env })
  onTestFinished(() => void view.kill('SIGKILL'))
  const line = await new Promise<string>((resolve) => createInterface({ input: view.stdout }).once('line', resolve))
  const { url } = JSON.parse(line)
  for (const name of ['', 'run.json', 'viewer-page.js', 'viewer-volume-stage.js'])
    expect((await fetch(url + name)).status, name).toBe(200)
  const ended = new Promise((resolve) => view.once('exit', resolve))
  view.kill('SIGINT')
  expect(await ended).toBe(0)
}, 300_000)
