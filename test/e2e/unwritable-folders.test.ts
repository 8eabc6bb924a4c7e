import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { type MeshflEvent, readEventLog } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { canMount } from '../../packages/federation/src/mount.fixture.js'
import { type CliResult, cli, type RunningCli, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

const ROUNDS = 6
const CANNOT_WRITE = /^cannot write .* \(EROFS\): waiting until it can be written$/
const GOING_ON = /^it can be written again: going on$/

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

/** Until it has been told so many times. */
async function isToldAgain(running: RunningCli, words: RegExp, times: number): Promise<void> {
  await running.waitFor(() => running.events.filter(isTold(words)).length === times)
}

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
    const serve = start('serve', '--out', run, ...options, '--sites', '1', ...bind)
    const { invite } = (await serve.waitFor((event) => event.type === 'invite')) as { invite: string }
    const site = start('join', invite, '--data', dataset, '--out', out, '--threads', '1')
    await serve.waitFor(isTold(/^site-1 .* asks to take part/))
    forbid(out)
    expect((await cli(['sites', 'approve', run, 'site-1'])).code).toBe(0)
    await isToldAgain(site, CANNOT_WRITE, 1)
    // While the coordinator stands still no round can pass by before both folders are forbidden.
    serve.child.kill('SIGSTOP')
    allow(out)
    await isToldAgain(site, GOING_ON, 1)
    forbid(out)
    forbid(run)
    serve.child.kill('SIGCONT')
    await isToldAgain(site, CANNOT_WRITE, 2)
    allow(out)
    await isToldAgain(site, GOING_ON, 2)
    await isToldAgain(serve, CANNOT_WRITE, 1)
    allow(run)
    await isToldAgain(serve, GOING_ON, 1)
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
