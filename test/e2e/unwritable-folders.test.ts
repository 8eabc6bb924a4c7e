import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { type MeshflEvent, readEventLog } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { canMount } from '../../packages/federation/src/mount.fixture.js'
import { type CliResult, cli, type RunningCli, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

const ROUNDS = 6

const canForbid = canMount((folder) => ['--bind', '-o', 'ro', folder, folder])

const forbidden = new Set<string>()
const processes: RunningCli[] = []
afterEach(() => {
  for (const folder of forbidden) allow(folder)
  for (const { child } of processes.splice(0)) child.kill('SIGKILL')
})

/** From now on nothing new is opened for writing there. */
function forbid(folder: string): void {
  execFileSync('mount', ['--bind', '-o', 'ro', folder, folder])
  forbidden.add(folder)
}

function allow(folder: string): void {
  execFileSync('umount', ['-l', folder])
  forbidden.delete(folder)
}

function start(...args: string[]): RunningCli {
  const running = startCli([...args, '--json'])
  processes.push(running)
  return running
}

function hashOf({ code, last, stderr }: CliResult): string {
  expect(`${stderr}${code}`).toBe('0')
  if (last?.type !== 'done') throw new Error('it has no result')
  return last.parametersSha256
}

const isTold =
  (words: RegExp) =>
  (event: MeshflEvent): boolean =>
    event.type === 'log' && words.test(event.message)

test.skipIf(!canForbid)(
  `meshfl serve and join outlast folders that can only be read for a while, and end as without that${canForbid ? '' : ' (skipped: no right to mount)'}`,
  async () => {
    const dataset = path.join(await makeDataset(1), 'sites', 'site-1')
    const central = path.join(temporaryFolder('central'), 'run')
    const options = ['--rounds', String(ROUNDS), '--seed', '5']
    const expected = hashOf(await cli(['train', dataset, '--out', central, ...options, '--json']))

    const folder = temporaryFolder('unwritable')
    const [run, out] = [path.join(folder, 'run'), path.join(folder, 'site')]
    mkdirSync(run)
    mkdirSync(out)
    const bind = ['--bind', 'tcp://127.0.0.1:*', '--advertise', '127.0.0.1']
    const serve = start('serve', '--out', run, ...options, '--sites', '1', ...bind, '--auto-approve')
    const { invite } = (await serve.waitFor((event) => event.type === 'invite')) as { invite: string }
    const site = start('join', invite, '--data', dataset, '--out', out, '--threads', '1')
    for (const [each, at] of [
      [serve, run],
      [site, out],
    ] as const) {
      const round = at === run ? 1 : 3
      await serve.waitFor((event) => event.type === 'round-started' && event.round === round)
      forbid(at)
      await each.waitFor(isTold(/^cannot write .* \(EROFS\): waiting until it can be written$/))
      allow(at)
      await each.waitFor(isTold(/^it can be written again: going on$/))
    }
    const results = await Promise.all([serve.ended, site.ended])
    expect(results.map(hashOf)).toEqual([expected, expected])
    expect(readdirSync(path.join(run, 'rounds'))).toHaveLength(ROUNDS)
    const all = [run, out].flatMap((at) => readdirSync(at, { recursive: true, encoding: 'utf8' }))
    expect(all.filter((name) => name.includes('.meshfl-tmp-'))).toEqual([])
    const rounds = readEventLog(path.join(run, 'events.jsonl')).filter(({ type }) => type === 'round-finished')
    expect(rounds).toHaveLength(ROUNDS)
    expect(readFileSync(path.join(run, 'ledger.jsonl'), 'utf8').trim().split('\n')).toHaveLength(ROUNDS)
  },
)
