import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import path from 'node:path'
import { readEventLog } from '@meshfl/core'
import { beforeAll, describe, expect, test } from 'vitest'
import { type CliResult, cli, type RunningCli, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

const ROUNDS = 12
const SITES = ['site-1', 'site-2']

interface Federation {
  run: string
  serve(): RunningCli
  join(site: string): RunningCli
}

let dataset: string

/** A coordinator on a fixed port, so that its sites find it again after a restart, and a site each for the dataset's parts. */
function federation(port: number, sites = SITES, data = dataset): Federation {
  const folder = temporaryFolder('federation')
  const run = path.join(folder, 'run')
  const invites: string[] = []
  return {
    run,
    serve() {
      const serve = startCli(
        ['serve', '--out', run, '--rounds', String(ROUNDS), '--seed', '5', '--sites', String(sites.length)].concat([
          '--bind',
          `tcp://127.0.0.1:${port}`,
          '--advertise',
          `127.0.0.1:${port}`,
          '--auto-approve',
          '--json',
        ]),
      )
      // A restarted coordinator prints the unused invites again: a site keeps the one it was given.
      void serve
        .waitFor((event) => {
          if (event.type === 'invite' && invites.length < sites.length) invites.push(event.invite)
          return invites.length === sites.length
        })
        .catch(() => undefined)
      return serve
    },
    join(site) {
      const invite = invites[sites.indexOf(site)]
      if (!invite) throw new Error('the coordinator has printed no invite yet')
      return startCli([
        'join',
        invite,
        '--data',
        path.join(data, 'sites', site),
        '--out',
        path.join(folder, site),
        '--threads',
        '1',
        '--json',
      ])
    },
  }
}

async function started(serve: RunningCli, sites: number): Promise<void> {
  let seen = 0
  await serve.waitFor((event) => event.type === 'invite' && ++seen === sites)
}

function hashOf(result: CliResult): string {
  expect(`${result.stderr}${result.code}`).toBe('0')
  if (result.last?.type !== 'done') throw new Error(`no result: ${result.stdout}`)
  return result.last.parametersSha256
}

async function undisturbed(port: number): Promise<string[]> {
  const { serve, join } = federation(port)
  const coordinator = serve()
  await started(coordinator, SITES.length)
  const sites = SITES.map(join)
  return (await Promise.all([coordinator, ...sites].map(({ ended }) => ended))).map(hashOf)
}

/** Ports of this file only, below those that systems give by themselves: tests of other files bind to port 0. */
let port = 20_000 + (process.pid % 12_000)

beforeAll(async () => {
  dataset = await makeDataset(2)
})

describe('a federation of real processes', () => {
  let expected: string

  test('the coordinator and every site end with the same model', async () => {
    const hashes = await undisturbed(port++)
    expect(new Set(hashes).size).toBe(1)
    expected = hashes[0]!
  })

  test('the same seed gives the same hash again, and again', async () => {
    expect((await undisturbed(port++))[0]).toBe(expected)
    expect((await undisturbed(port++))[0]).toBe(expected)
  })

  test('a site killed in the middle of a round and started again changes nothing', async () => {
    const { serve, join, run } = federation(port++)
    const coordinator = serve()
    await started(coordinator, 2)
    const healthy = join('site-1')
    const doomed = join('site-2')
    await doomed.waitFor((event) => event.type === 'step' && event.round === 2)
    doomed.child.kill('SIGKILL')
    expect((await doomed.ended).signal).toBe('SIGKILL')
    const again = join('site-2')
    const results = await Promise.all([coordinator, healthy, again].map(({ ended }) => ended))
    expect(results.map(hashOf)).toEqual([expected, expected, expected])
    expect(
      readEventLog(path.join(run, 'events.jsonl')).filter((event) => event.type === 'update-applied'),
    ).toHaveLength(ROUNDS)
  })

  test('a coordinator killed in the middle of a round and started again changes nothing', async () => {
    const { serve, join } = federation(port++)
    const doomed = serve()
    await started(doomed, 2)
    const sites = SITES.map(join)
    await doomed.waitFor((event) => event.type === 'site-trained' && event.round === 2)
    doomed.child.kill('SIGKILL')
    await doomed.ended
    const again = serve()
    const results = await Promise.all([again, ...sites].map(({ ended }) => ended))
    expect(results.map(hashOf)).toEqual([expected, expected, expected])
  })

  test('both killed at once, and started again, change nothing', async () => {
    const { serve, join } = federation(port++)
    const doomed = [serve()]
    await started(doomed[0]!, 2)
    doomed.push(join('site-1'), join('site-2'))
    await doomed[1]!.waitFor((event) => event.type === 'step' && event.round === 3)
    for (const { child } of doomed) child.kill('SIGKILL')
    await Promise.all(doomed.map(({ ended }) => ended))
    const again = serve()
    const results = await Promise.all([again, ...SITES.map(join)].map(({ ended }) => ended))
    expect(results.map(hashOf)).toEqual([expected, expected, expected])
  })

  test('Ctrl-C on a site keeps everything, and joining again goes on', async () => {
    const { serve, join } = federation(port++)
    const coordinator = serve()
    await started(coordinator, 2)
    const stays = join('site-1')
    const leaves = join('site-2')
    await leaves.waitFor((event) => event.type === 'step' && event.round === 2)
    leaves.child.kill('SIGINT')
    const left = await leaves.ended
    expect(left.code).toBe(130)
    expect(left.last).toMatchObject({ type: 'error', code: 'INTERRUPTED' })
    const again = join('site-2')
    const results = await Promise.all([coordinator, stays, again].map(({ ended }) => ended))
    expect(results.map(hashOf)).toEqual([expected, expected, expected])
  })
})

test('one site alone through the federation gives the same bits as meshfl train', async () => {
  const { serve, join } = federation(port++, ['site-1'])
  const coordinator = serve()
  await started(coordinator, 1)
  const site = join('site-1')
  const [federated] = (await Promise.all([coordinator.ended, site.ended])).map(hashOf)
  const run = path.join(temporaryFolder('central'), 'run')
  const central = await cli([
    'train',
    path.join(dataset, 'sites/site-1'),
    '--out',
    run,
    '--rounds',
    String(ROUNDS),
    '--seed',
    '5',
    '--json',
  ])
  expect(hashOf(central)).toBe(federated)
})

test('serve prints its invites before all else, and its result last', async () => {
  const { serve, join } = federation(port++, ['site-1'])
  const coordinator = serve()
  await started(coordinator, 1)
  join('site-1')
  const { events, last } = await coordinator.ended
  expect(events[0]).toMatchObject({ type: 'invite', invite: expect.stringMatching(/^mfl1:127\.0\.0\.1:/) })
  expect(last).toMatchObject({
    type: 'done',
    rounds: ROUNDS,
    best: expect.objectContaining({ round: expect.any(Number) }),
  })
})

test('a port that is in use is told, and does not bind the folder to the options of that try', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port: used } = taken.address() as AddressInfo
  const run = path.join(temporaryFolder('taken'), 'run')
  const refused = await cli(['serve', '--out', run, '--rounds', '2', '--bind', `tcp://127.0.0.1:${used}`, '--json'])
  taken.close()
  expect(refused.code).toBe(3)
  expect(refused.last).toMatchObject({ type: 'error', code: 'BIND_FAILED' })
  const other = startCli(['serve', '--out', run, '--rounds', '3', '--bind', 'tcp://127.0.0.1:*', '--json'])
  await started(other, 1)
  other.child.kill('SIGINT')
  expect((await other.ended).code).toBe(130)
})

test('a site with the invite of another coordinator is told so, and the run goes on without it', async () => {
  const first = federation(port++)
  const coordinator = first.serve()
  await started(coordinator, 2)
  const invite = coordinator.events.find((event) => event.type === 'invite')
  if (invite?.type !== 'invite') throw new Error('no invite')
  // The same address, another key: what a site sees when someone else answers there.
  const [head, keys, secret] = invite.invite.split('/') as [string, string, string]
  const wrong = `${head}/${keys.startsWith('A') ? 'B' : 'A'}${keys.slice(1)}/${secret}`
  const stranger = await cli([
    'join',
    wrong,
    '--data',
    path.join(dataset, 'sites/site-1'),
    '--out',
    temporaryFolder('stranger'),
    '--json',
  ])
  expect(stranger.code).toBe(3)
  expect(stranger.last).toMatchObject({ type: 'error', code: 'FEDERATION_SERVER_KEY' })
  const results = await Promise.all([coordinator, ...SITES.map(first.join)].map(({ ended }) => ended))
  expect(new Set(results.map(hashOf)).size).toBe(1)
})

test('the run folder is named by its study, and another study is refused there', async () => {
  const run = path.join(temporaryFolder('study'), 'run')
  const site = path.join(dataset, 'sites/site-1')
  expect((await cli(['train', site, '--out', run, '--rounds', '1', '--json'])).code).toBe(0)
  const other = await cli(['train', site, '--out', run, '--rounds', '1', '--seed', '9', '--json'])
  expect(other.code).toBe(2)
  expect(other.last).toMatchObject({ code: 'RUN_STUDY_MISMATCH' })
  expect(readFileSync(path.join(run, 'study.yaml'), 'utf8')).toContain('seed: 0')
})
