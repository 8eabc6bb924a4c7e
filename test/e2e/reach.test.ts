import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { EventOf, MeshflEvent } from '@meshfl/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  closeAll,
  startHttpProxy,
  startReverseProxy,
  startSocksProxy,
} from '../../packages/reach/src/proxies.fixture.js'
import { cli, type RunningCli, root, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

const certificate = path.join(root, 'fixtures/tls/localhost.pem')
const key = path.join(root, 'fixtures/tls/localhost.key')

let dataset: string
beforeAll(async () => {
  dataset = await makeDataset(3)
})
afterAll(closeAll)

const isLog = (words: RegExp) => (event: MeshflEvent) => event.type === 'log' && words.test(event.message)

/** The port in what a coordinator says of its tunnels. */
async function tunnelPort(serve: RunningCli): Promise<number> {
  const event = (await serve.waitFor(isLog(/listening for tunnels on/))) as EventOf<'log'>
  return Number(/:(\d+):/.exec(event.message)![1])
}

test('sites behind firewalls join through a SOCKS proxy, an HTTP proxy and a tunnel with TLS, and end with one model', async () => {
  const run = temporaryFolder('reach')
  const serve = startCli(
    ['serve', '--out', path.join(run, 'run'), '--rounds', '2', '--sites', '3', '--seed', '1'].concat([
      ...['--bind', 'tcp://127.0.0.1:*', '--tunnel', '127.0.0.1:0', '--auto-approve', '--json'],
    ]),
  )
  const reverse = await startReverseProxy(await tunnelPort(serve), {
    key: readFileSync(key, 'utf8'),
    cert: readFileSync(certificate, 'utf8'),
  })
  const [socks, http] = [
    await startSocksProxy({ user: 'site', password: 'one' }),
    await startHttpProxy({ credentials: 'site:two' }),
  ]
  const ways = [
    ['--proxy', `socks5://site:one@127.0.0.1:${socks.port}`],
    ['--proxy', `http://site:two@127.0.0.1:${http.port}`],
    ['--tunnel', `wss://localhost:${reverse.port}/meshfl`],
  ]
  const invites = serve.events.flatMap((event) => (event.type === 'invite' ? [event.invite] : []))
  const sites = ways.map((way, i) =>
    startCli(
      [
        ...['join', invites[i]!, '--data', path.join(dataset, 'sites', `site-${i + 1}`)],
        ...['--out', path.join(run, `site-${i + 1}`), '--threads', '1', '--json', ...way],
      ],
      { env: { NODE_EXTRA_CA_CERTS: certificate } },
    ),
  )
  const ends = await Promise.all([serve, ...sites].map(({ ended }) => ended))
  expect(ends.map(({ code, stderr }) => `${code}${stderr}`)).toEqual(['0', '0', '0', '0'])
  const hashes = ends.map(({ last }) => last?.type === 'done' && last.parametersSha256)
  expect(new Set(hashes).size).toBe(1)
  expect([socks, http, reverse].map((proxy) => proxy.connections() > 0)).toEqual([true, true, true])
})

test('doctor --connect says which way works, names its options, and leaves the invite unused', async () => {
  const run = temporaryFolder('ladder')
  const serve = startCli(
    ['serve', '--out', run, '--rounds', '1', '--bind', 'tcp://127.0.0.1:*', '--tunnel', '0', '--json'].concat([
      ...['--advertise', '127.0.0.1:1'], // where nobody listens, as behind a firewall
    ]),
  )
  const port = await tunnelPort(serve)
  const invite = serve.events.flatMap((event) => (event.type === 'invite' ? [event.invite] : []))[0]!
  const http = await startHttpProxy()
  const env = { HTTPS_PROXY: `http://127.0.0.1:${http.port}`, ALL_PROXY: '', HTTP_PROXY: '' }
  const tunnel = ['--tunnel', `ws://127.0.0.1:${port}/`]
  const tried = await cli(['doctor', '--connect', invite, '--json', ...tunnel], { env })
  const rungs = tried.events.filter((event) => event.type === 'connection')
  expect(rungs.map(({ works, options }) => [works, options.replace(/:\d+/g, '')])).toEqual([
    [false, ''],
    [false, '--proxy http://127.0.0.1'],
    [true, '--tunnel ws://127.0.0.1/'],
    [true, '--proxy http://127.0.0.1 --tunnel ws://127.0.0.1/'],
  ])
  expect(rungs[0]!.reason).toContain('ECONNREFUSED')
  expect(tried.code).toBe(0)

  const failed = await cli(['doctor', '--connect', invite, '--json'], { env })
  expect(failed.code).toBe(3)
  expect(failed.last).toMatchObject({ type: 'error', code: 'NO_ROUTE' })

  // With the keys of another coordinator the handshake ends: what answers is not whom the invite means.
  const other = invite.replace(/\/[^/]{8}/, '/AAAAAAAA')
  const stranger = await cli(['doctor', '--connect', other, '--json', ...tunnel], { env })
  expect(stranger.events.find((event) => event.type === 'connection' && event.options === tunnel.join(' '))).toEqual(
    expect.objectContaining({ works: false, reason: expect.stringContaining('keys') }),
  )
  serve.child.kill('SIGINT')
  const { events } = await serve.ended
  expect(events.filter(({ type }) => type === 'site-state')).toEqual([])
})
