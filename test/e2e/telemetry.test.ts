import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { root, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

test('a run hands its figures to Prometheus while it goes on, and to CSV and TensorBoard files', async () => {
  const run = path.join(temporaryFolder('telemetry'), 'run')
  const options = ['--out', run, '--rounds', '2', '--bind', 'tcp://127.0.0.1:*', '--metrics', '0', '--figures']
  const serve = startCli(['serve', ...options, '--auto-approve', '--json'])
  const told = await serve.waitFor((event) => event.type === 'log' && /for Prometheus/.test(event.message))
  // Scripts find the invite first.
  expect(serve.events[0]?.type).toBe('invite')
  const url = told.type === 'log' && /http\S+/.exec(told.message)![0]
  const read = async (): Promise<string> => (await fetch(String(url))).text()
  await serve.waitFor((event) => event.type === 'run-started')
  expect(await read()).toContain('meshfl_rounds 2')
  // A second one in the same folder is refused, and leaves the first one's files as they are.
  const second = await startCli(['serve', ...options, '--json']).ended
  expect(second.code).toBe(3)
  expect(second.stdout).toContain('RUN_LOCKED')
  const invite = serve.events.flatMap((event) => (event.type === 'invite' ? [event.invite] : []))[0]!
  const data = path.join(await makeDataset(1), 'sites', 'site-1')
  const join = startCli(['join', invite, '--data', data, '--out', `${run}-site`, '--threads', '1', '--json'])
  await serve.waitFor((event) => event.type === 'round-finished')
  expect(await read()).toMatch(/meshfl_round [12]\n/)
  expect([(await join.ended).code, (await serve.ended).code]).toEqual([0, 0])
  const csv = readFileSync(path.join(run, 'metrics.csv'), 'utf8').trim().split('\n')
  expect(csv).toHaveLength(1 + 2 * 4)
  for (const name of ['global', 'site-1']) {
    const file = readFileSync(path.join(run, 'tensorboard', name, 'events.out.tfevents.0.meshfl'))
    expect(file.includes('dice valid/foreground')).toBe(true)
  }
})

test.skipIf(!existsSync('/proc/self/limits'))(
  'a coordinator does not start where its figures, metrics and tunnels leave its sites too few open files (skipped where there is no /proc)',
  () => {
    const run = path.join(temporaryFolder('files'), 'run')
    const serve = (...more: string[]) =>
      spawnSync(
        'sh',
        ['-c', 'ulimit -n 723; exec "$@"', 'sh', process.execPath, path.join(root, 'cli/dist/bin.js'), 'serve'].concat(
          ['--out', run, '--sites', '100', '--bind', 'tcp://127.0.0.1:*', '--json'].concat(more),
        ),
        { encoding: 'utf8', timeout: 30_000 },
      )
    const { status, stdout } = serve('--figures', '--metrics', '0', '--tunnel', '127.0.0.1:0')
    expect(status).toBe(3)
    // 100 and 64; figures: 100, the run's and the CSV; metrics: 1 and 256; tunnels: 1 and 200.
    expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toMatchObject({
      code: 'OPEN_FILES_TOO_FEW',
      message: expect.stringContaining('need 724 open files, this process may have 723'),
    })
  },
)
