import path from 'node:path'
import type { EventOf } from '@meshfl/core'
import { expect, test } from 'vitest'
import { cli, type RunningCli, startCli, temporaryFolder } from './cli.js'
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

test('an expired invite, one that was used before, and revoked keys end a site with words, and the run ends as if they had not come', async () => {
  const dataset = await makeDataset(2)
  const serveIn = (run: string) =>
    startCli(
      ['serve', '--out', run, '--rounds', '1', '--sites', '2', '--bind', 'tcp://127.0.0.1:*', '--auto-approve'].concat([
        '--advertise',
        '127.0.0.1',
        '--json',
      ]),
    )
  const join = (site: string, invite: string, out: string) =>
    startCli(
      ['join', invite, '--data', path.join(dataset, 'sites', site), '--out', out].concat(['--threads', '1', '--json']),
    )
  const invitesOf = async (serve: RunningCli): Promise<string[]> => {
    const seen: string[] = []
    await serve.waitFor((event) => event.type === 'invite' && seen.push(event.invite) === 2)
    return seen
  }
  const folder = temporaryFolder('refused')
  const out = (name: string): string => path.join(folder, name)
  const calm = serveIn(out('calm'))
  const calmInvites = await invitesOf(calm)
  for (const [i, site] of ['site-1', 'site-2'].entries()) join(site, calmInvites[i]!, out(`calm-${site}`))
  const expected = (await calm.ended).last

  const run = out('run')
  const serve = serveIn(run)
  const isTold = (words: RegExp) => serve.waitFor((event) => event.type === 'log' && words.test(event.message))
  const [first, second] = await invitesOf(serve)
  const asked = await cli(['sites', 'invite', run, '--expires', '1s', '--json'])
  const { invite, expires } = lastSites(asked.last).invites[0]!
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, new Date(expires).getTime() - Date.now())))
  const late = await join('site-2', invite, out('late')).ended
  expect(late.code).toBe(3)
  expect(late.last).toMatchObject({
    ...{ type: 'error', code: 'INVITE_EXPIRED' },
    message: expect.stringMatching(/^the coordinator says: the invite expired at /),
  })
  await isTold(/^a login was refused: the invite expired at /)

  const revoked = join('site-1', first!, out('site-1'))
  await serve.waitFor((event) => event.type === 'site-state' && event.site === 'site-1' && event.state === 'online')
  const twice = await join('site-2', first!, out('twice')).ended
  expect(twice.code).toBe(3)
  expect(twice.last).toMatchObject({
    ...{ type: 'error', code: 'INVITE_USED' },
    message: expect.stringMatching(/^the coordinator says: the invite was used by site-1 \(/),
  })
  await isTold(/^a login was refused: the invite was used by site-1 /)

  expect((await cli(['sites', 'revoke', run, 'site-1', '--json'])).code).toBe(0)
  const ended = await revoked.ended
  expect(ended.code).toBe(3)
  expect(ended.last).toMatchObject({
    ...{ type: 'error', code: 'SITE_REVOKED' },
    message: expect.stringMatching(/^the coordinator says: site-1 \(.*\) was revoked at /),
  })
  await isTold(/^a login was refused: site-1 \(.*\) was revoked at /)
  const again = await join('site-1', first!, out('site-1')).ended
  expect(again.last).toMatchObject({ type: 'error', code: 'FEDERATION_REFUSED' })
  await isTold(/^a connection from 127\.0\.0\.1 with an unknown key was turned away$/)

  const fresh = lastSites((await cli(['sites', 'invite', run, '--json'])).last).invites[0]!
  join('site-1', fresh.invite, out('site-1'))
  join('site-2', second!, out('site-2'))
  const { last } = await serve.ended
  if (last?.type !== 'done' || expected?.type !== 'done') throw new Error('the run has not ended')
  expect(last.parametersSha256).toBe(expected.parametersSha256)
}, 180_000)
