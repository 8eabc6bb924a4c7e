import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

test('a run hands its figures to Prometheus while it goes on, and to CSV and TensorBoard files', async () => {
  const run = path.join(temporaryFolder('telemetry'), 'run')
  const serve = startCli(
    ['serve', '--out', run, '--rounds', '2', '--bind', 'tcp://127.0.0.1:*', '--auto-approve', '--json'].concat([
      ...['--metrics', '0', '--figures'],
    ]),
  )
  const told = await serve.waitFor((event) => event.type === 'log' && /for Prometheus/.test(event.message))
  // Scripts find the invite first.
  expect(serve.events[0]?.type).toBe('invite')
  const url = told.type === 'log' && /http\S+/.exec(told.message)![0]
  const read = async (): Promise<string> => (await fetch(String(url))).text()
  await serve.waitFor((event) => event.type === 'run-started')
  expect(await read()).toContain('meshfl_rounds 2')
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
