import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { EventOf } from '@meshfl/core'
import { expect, test } from 'vitest'
import { bin, cli, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

const COMMANDS = ['demo', 'split', 'train', 'serve', 'join', 'simulate', 'predict', 'eval', 'view', 'doctor', 'bench']

test('--help names every command, and every command has help with an example', async () => {
  const help = await cli(['--help'])
  expect(help.code).toBe(0)
  for (const command of COMMANDS) expect(help.stdout).toContain(`  ${command}`)
  for (const result of await Promise.all(COMMANDS.map((command) => cli([command, '--help'])))) {
    expect(result.code).toBe(0)
    expect(result.stdout).toMatch(/Examples?:\n {2}meshfl /)
  }
})

test('words that it does not understand exit with 2', async () => {
  expect((await cli(['fly'])).code).toBe(2)
  expect((await cli(['split', '.'])).code).toBe(2)
  expect((await cli(['split', '.', '--out', 'x', '--shape', 'big'])).code).toBe(2)
  expect((await cli(['eval'])).code).toBe(2)
})

test('with --json, words that it does not understand are one line, the error, and nothing else', async () => {
  const wrong = [
    'fly',
    'help fly',
    'train',
    'train d',
    'train d --out',
    'train d --out r --rounds 0',
    'demo extra',
    'eval',
    'view',
  ]
  const results = await Promise.all(wrong.map((words) => cli([...words.split(' '), '--json'])))
  for (const { code, stdout, events } of results) {
    expect(code).toBe(2)
    expect(stdout.trim().split('\n')).toHaveLength(1)
    expect(events).toMatchObject([
      { type: 'error', code: expect.stringMatching(/^USAGE/), message: expect.stringMatching(/^[^(]/) },
    ])
  }
})

test('a folder with no pairs is bad data: code, sentence, hint, exit code 3', async () => {
  const source = temporaryFolder('empty')
  mkdirSync(join(source, 'images'))
  writeFileSync(join(source, 'images/notes.txt'), 'no scan')
  const plain = await cli(['split', source, '--out', join(source, 'out')])
  expect(plain.code).toBe(3)
  expect(plain.stderr).toContain('DATASET_NO_PAIRS')
  expect(plain.stderr).toContain('hint:')
  const json = await cli(['split', source, '--out', join(source, 'out'), '--json'])
  expect(json.last).toMatchObject({ type: 'error', code: 'DATASET_NO_PAIRS' })
})

test('doctor tells of every engine why it is there or not', async () => {
  const { code, events } = await cli(['doctor', '--json'])
  expect(code).toBe(0)
  const engines = events.filter((event) => event.type === 'engine')
  expect(engines.map(({ name }) => name)).toEqual(['cuda', 'cpu', 'wasm'])
  for (const engine of engines) {
    expect(engine.available ? engine.device : engine.reason).toBeTruthy()
    if (engine.available)
      expect(engine.memory?.join()).toMatch(/fp32: a training step at 256\^3 .*, at least [\d.]+ GB .*,bf16: /)
  }
})

test('Ctrl-C in the demo says how to go on in the same folder', async () => {
  const cwd = temporaryFolder('demo')
  mkdirSync(join(cwd, 'meshfl-demo'))
  const hintOf = async (...options: string[]) => {
    const demo = startCli(['demo', '--strategy', 'fedprox', '--json', ...options], { cwd })
    await demo.waitFor((event) => event.type === 'progress')
    demo.child.kill('SIGINT')
    const { code, last } = await demo.ended
    expect(code).toBe(130)
    return (last as EventOf<'error'>).hint
  }
  expect(await hintOf()).toBe('run the same command again with --out meshfl-demo-2 to go on')
  expect(await hintOf('--out', 'mine')).toBe('run the same command again to go on')
})

test('options of serve that were refused do not bind the next try in the same folder', async () => {
  const out = join(temporaryFolder('serve'), 'run')
  const serve = ['serve', '--out', out, '--bind', 'tcp://127.0.0.1:*', '--json']
  const refused = await cli([...serve, '--min-sites', '4'])
  expect(refused).toMatchObject({ code: 2, last: { type: 'error', code: 'MIN_SITES_TOO_MANY' } })
  const mended = startCli([...serve, '--min-sites', '4', '--sites', '4'])
  await mended.waitFor((event) => event.type === 'invite')
  mended.child.kill('SIGINT')
  expect((await mended.ended).code).toBe(130)
})

test('whoever reads its output may go away: a command ends as it would have', async () => {
  const help = startCli(['--help'])
  help.child.stdout!.destroy()
  const { code, stderr } = await help.ended
  expect(`${code} ${stderr}`).toBe('0 ')
})

test.skipIf(!existsSync('/dev/full'))(
  'a disk that has no room for what is printed ends no run: it is said once, and the exit code is 3 (skipped where there is no /dev/full)',
  async () => {
    const dataset = await makeDataset(1)
    const out = join(temporaryFolder('full'), 'run')
    const full = openSync('/dev/full', 'w')
    const child = spawn(process.execPath, [bin, 'train', dataset, '--out', out, '--rounds', '2'], {
      stdio: ['ignore', full, 'pipe'],
    })
    closeSync(full)
    const [stderr, [code]] = await Promise.all([text(child.stderr!), once(child, 'close')])
    expect(stderr).toMatch(/^error OUTPUT_LOST: [^\n]*\(ENOSPC\)[^\n]*\n {2}hint: [^\n]*\n$/)
    expect(code).toBe(3)
    expect((await cli(['eval', out, '--json'])).last).toMatchObject({ type: 'report' })
  },
)
