import path from 'node:path'
import type { EventOf } from '@meshfl/core'
import { expect, test } from 'vitest'
import { cli, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

const lastSites = (last: unknown): EventOf<'sites'> => {
  expect(last).toMatchObject({ type: 'sites' })
  return last as EventOf<'sites'>
}

test('a coordinator without a terminal waits for meshfl sites approve, and an invited site may join a running federation', async () => {
  const dataset = await makeDataset(2)
  const folder = temporaryFolder('sites')
  const run = path.join(folder, 'run')
  const serve = startCli(
    [
      'serve',
      '--out',
      run,
      '--rounds',
      '2',
      '--sites',
      '1',
      '--bind',
      'tcp://127.0.0.1:*',
      '--advertise',
      '127.0.0.1',
    ].concat('--json'),
  )
  const first = (await serve.waitFor((event) => event.type === 'invite')) as EventOf<'invite'>
  const { invites } = lastSites((await cli(['sites', 'invite', run, '--expires', '12h', '--json'])).last)
  expect(invites).toHaveLength(1)
  const join = (site: string, invite: string) =>
    startCli(
      ['join', invite, '--data', path.join(dataset, 'sites', site), '--out', path.join(folder, site)].concat([
        '--threads',
        '1',
        '--json',
      ]),
    )
  const second = join('site-2', invites[0]!.invite)
  await serve.waitFor((event) => event.type === 'log' && /meshfl sites approve .* site-2/.test(event.message))
  const asking = lastSites((await cli(['sites', 'list', run, '--json'])).last)
  expect(asking.sites).toMatchObject([{ site: 'site-2', state: 'asking' }])
  const unknown = await cli(['sites', 'approve', run, 'site-7', '--json'])
  expect(unknown.code).toBe(3)
  expect(unknown.last).toMatchObject({ type: 'error', code: 'SITE_NOT_ASKING' })
  expect((await cli(['sites', 'approve', run, 'site-2', '--json'])).code).toBe(0)
  expect((await second.ended).code).toBe(0)
  const { last } = await serve.ended
  expect(last).toMatchObject({ type: 'done', rounds: 2 })
  // The coordinator has ended: what is asked now is answered from its folder.
  const revoked = lastSites((await cli(['sites', 'revoke', run, 'site-2', '--json'])).last)
  expect(revoked.sites).toMatchObject([{ site: 'site-2', state: 'revoked' }])
  expect(first.invite).toMatch(/^mfl1:127\.0\.0\.1:/)
})
