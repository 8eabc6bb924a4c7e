import { chownSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { administerSites } from './administer-sites.js'
import { Admissions } from './admissions.js'
import { CoalescedFile } from './coalesced-file.js'
import { ControlFolder } from './control-folder.js'
import { loadIdentity } from './identity.js'
import { parseInvite } from './invite.js'
import { verifyLedger } from './ledger.js'
import { Loopback, until } from './loopback.fixture.js'
import { RawSite } from './raw-site.fixture.js'

let loopback: Loopback
const raws: RawSite[] = []

afterEach(async () => {
  await Promise.all(raws.splice(0).map((raw) => raw.close()))
  await loopback?.close()
})

const never = (): Promise<boolean> => new Promise(() => undefined)
const isOnline = (site: string) => (): boolean =>
  loopback.events.some((event) => event.type === 'site-state' && event.site === site && event.state === 'online')

test('without anybody to ask, a site waits until it is approved from elsewhere, and takes part', async () => {
  loopback = new Loopback(1)
  const coordinator = await loopback.start({ approve: never })
  const site = loopback.join('site-1')
  let asking: string | undefined
  while (!asking) {
    const { sites } = await administerSites(loopback.run, { action: 'list' })
    asking = sites.find(({ state }) => state === 'asking')?.fingerprint
  }
  const { sites } = await administerSites(loopback.run, { action: 'approve', site: asking })
  expect(sites).toMatchObject([{ site: 'site-1', fingerprint: asking, trainCases: 20 }])
  await Promise.all([coordinator.finished, site.finished])
})

test('a site that is not wanted is told so, and may ask again with the same invite', async () => {
  loopback = new Loopback(1)
  await loopback.start({ approve: never })
  const site = loopback.join('site-1')
  while (
    await administerSites(loopback.run, { action: 'revoke', site: 'site-1' }).then(
      () => false,
      (error) => error.code === 'SITE_UNKNOWN',
    )
  );
  await expect(site.finished).rejects.toMatchObject({ code: 'FEDERATION_DENIED' })
  const again = loopback.join('site-1')
  while (
    await administerSites(loopback.run, { action: 'approve', site: 'site-1' }).then(
      () => false,
      (error) => error.code === 'SITE_NOT_ASKING',
    )
  );
  await again.finished
})

test('an invite that was asked for lets one more site in, and ends in its time', async () => {
  loopback = new Loopback(1)
  const coordinator = await loopback.start({ minSites: 1 })
  const request = { action: 'invite', count: 2, expiresSeconds: 3600 } as const
  const { invites } = await administerSites(loopback.run, request)
  expect(invites).toHaveLength(2)
  expect(new Date(invites[0]!.expires).getTime()).toBeLessThanOrEqual(Date.now() + 3_600_000)
  loopback.invites.set('site-2', invites[0]!.invite)
  const site = loopback.join('site-2')
  const used = (await administerSites(loopback.run, { ...request, expiresSeconds: 0.001 })).invites
  loopback.invites.set('site-3', used[0]!.invite)
  await expect(loopback.join('site-3').finished).rejects.toMatchObject({ code: 'INVITE_EXPIRED' })
  await Promise.all([coordinator.finished, site.finished])
})

test('a revoked site is ended at once, what it says later is refused, and the others go on', async () => {
  loopback = new Loopback(2, { federation: { minSites: 1 } })
  const coordinator = await loopback.start({ minSites: 1 })
  const stays = loopback.join('site-1', { delayMs: 30 })
  const goes = loopback.join('site-2', { delayMs: 60_000 })
  await until(isOnline('site-2'))
  const { sites } = await administerSites(loopback.run, { action: 'revoke', site: 'site-2' })
  expect(sites).toMatchObject([{ site: 'site-2', state: 'revoked' }])
  await expect(goes.finished).rejects.toMatchObject({ code: 'SITE_REVOKED' })
  const identity = await loadIdentity(join(loopback.siteFolder('site-2'), 'keys', 'site.json'))
  await expect(loopback.join('site-2').finished).rejects.toMatchObject({ code: 'FEDERATION_REFUSED' })
  const invite = parseInvite(coordinator.invites[0]!.invite)
  const raw = new RawSite('site-2', identity, invite)
  raws.push(raw)
  const result = await coordinator.finished
  await stays.finished
  expect(raw.connections).toBe(0)
  const lines = readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8').trim().split('\n')
  expect(verifyLedger(lines, coordinator.signingPublic)).toEqual({ ok: true, rounds: result.rounds })
  expect(lines.at(-1)).not.toContain('site-2')
})

test('revoking takes an accepted update out of the round in progress, also over a restart', async () => {
  loopback = new Loopback(2, { rounds: 1 })
  await loopback.start()
  const first = loopback.join('site-1', { delayMs: 60_000 })
  const second = loopback.join('site-2')
  await until(() => loopback.events.some((event) => event.type === 'site-trained' && event.site === 'site-2'))
  await administerSites(loopback.run, { action: 'revoke', site: 'site-2' })
  await expect(second.finished).rejects.toMatchObject({ code: 'SITE_REVOKED' })
  first.stop()
  await first.finished.catch(() => undefined)
  await loopback.coordinator.stop()
  const coordinator = await loopback.start({ minSites: 1 })
  const again = loopback.join('site-1')
  await Promise.all([coordinator.finished, again.finished])
  expect(readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8')).not.toContain('site-2')
})

test('a site gets new keys with a new invite and goes on where it was, and its old keys count no more', async () => {
  loopback = new Loopback(2)
  const reference = new Loopback(2)
  const undisturbed = await reference.start()
  reference.join('site-1')
  reference.join('site-2')
  const { parametersSha256 } = await undisturbed.finished
  await reference.close()

  const coordinator = await loopback.start()
  const other = loopback.join('site-1', { delayMs: 20 })
  const before = loopback.join('site-2', { delayMs: 20 })
  await until(() => loopback.events.some((event) => event.type === 'round-started' && event.round === 2))
  coordinator.pause() // else a busy machine may be through with the last round before the keys change
  const { invites, sites } = await administerSites(loopback.run, {
    action: 'rotate',
    site: 'site-2',
    expiresSeconds: 3600,
  })
  coordinator.resume()
  expect(sites).toMatchObject([{ site: 'site-2', state: 'rotating' }])
  await expect(before.finished).rejects.toMatchObject({ code: 'SITE_KEYS_REPLACED' })
  const old = readFileSync(join(loopback.siteFolder('site-2'), 'keys', 'site.json'), 'utf8')
  loopback.invites.set('site-2', invites[0]!.invite)
  const after = loopback.join('site-2')
  const results = await Promise.all([coordinator.finished, other.finished, after.finished])
  for (const result of results) expect(result.parametersSha256).toBe(parametersSha256)
  const keys = readdirSync(join(loopback.siteFolder('site-2'), 'keys'))
  expect(keys).toHaveLength(2)
  expect(keys.map((name) => readFileSync(join(loopback.siteFolder('site-2'), 'keys', name), 'utf8'))).not.toContain(old)
  const lines = readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8').trim().split('\n')
  expect(verifyLedger(lines, coordinator.signingPublic)).toEqual({ ok: true, rounds: 3 })
  const keyIn = (line: string): string =>
    (JSON.parse(line) as { sites: { site: string; key: string }[] }).sites.find(({ site }) => site === 'site-2')!.key
  expect(keyIn(lines[2]!)).not.toBe(keyIn(lines[0]!))
})

test('the invite for a change of keys is no other site’s, and a crash in the middle loses nothing', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const before = loopback.join('site-1', { delayMs: 60_000 })
  await until(isOnline('site-1'))
  const { invites } = await administerSites(loopback.run, { action: 'rotate', site: 'site-1', expiresSeconds: 3600 })
  await expect(before.finished).rejects.toMatchObject({ code: 'SITE_KEYS_REPLACED' })
  loopback.invites.set('site-9', invites[0]!.invite)
  await expect(loopback.join('site-9').finished).rejects.toMatchObject({ code: 'FEDERATION_DENIED' })
  loopback.invites.set('site-1', invites[0]!.invite)
  const crash = loopback.join(
    'site-1',
    {},
    {
      at: (point) => {
        if (point === 'enrolled') throw new Error('killed')
      },
    },
  )
  await expect(crash.finished).rejects.toThrow('killed')
  await Promise.all([loopback.coordinator.finished, loopback.join('site-1').finished])
})

test('with no coordinator at work the folder itself is changed, and the next start knows', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const site = loopback.join('site-1', { delayMs: 60_000 })
  await until(isOnline('site-1'))
  site.stop()
  await site.finished.catch(() => undefined)
  await loopback.coordinator.stop()
  const { sites } = await administerSites(loopback.run, { action: 'list' })
  expect(sites).toMatchObject([{ site: 'site-1', state: 'away' }])
  await administerSites(loopback.run, { action: 'revoke', site: 'site-1' })
  await expect(administerSites(loopback.run, { action: 'approve', site: 'site-2' })).rejects.toMatchObject({
    code: 'SITE_NOT_ASKING',
  })
  const coordinator = await loopback.start()
  expect(coordinator.invites).toHaveLength(1)
  loopback.invites.set('site-1', coordinator.invites[0]!.invite)
  // Its state is from before: with a new invite it comes with new keys.
  await Promise.all([coordinator.finished, loopback.join('site-1').finished])
  expect(readdirSync(join(loopback.run, 'control'))).toEqual([])
})

test('a request that is none is refused in words, and a folder that is no coordinator’s is named', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  writeFileSync(join(loopback.run, 'control', `${'a'.repeat(16)}.request`), '{"action":"explode"}')
  await until(() => loopback.logs('warn').some((line) => /a request in .* was refused/.test(line)))
  await expect(administerSites(loopback.folder, { action: 'list' })).rejects.toMatchObject({
    code: 'RUN_NOT_FEDERATED',
  })
})

test('a coordinator on another machine that does not answer is named, and the request is taken back', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  await loopback.coordinator.stop()
  writeFileSync(join(loopback.run, '.lock'), JSON.stringify({ pid: 1, started: null, host: 'elsewhere' }))
  await expect(administerSites(loopback.run, { action: 'list' }, { patienceMs: 100 })).rejects.toMatchObject({
    code: 'COORDINATOR_SILENT',
  })
  expect(readdirSync(join(loopback.run, 'control'))).toEqual([])
})

test.skipIf(process.getuid?.() !== 0)(
  'root may ask on the run of a service, and takes nothing of it from the service (runs as root only)',
  async () => {
    loopback = new Loopback(1)
    await loopback.start()
    await loopback.coordinator.stop()
    const files = (): string[] =>
      readdirSync(loopback.run, { recursive: true }).map((name) => join(loopback.run, `${name}`))
    for (const path of [loopback.run, ...files()]) chownSync(path, 65534, 65534)
    const answer = await administerSites(loopback.run, { action: 'invite', count: 2, expiresSeconds: 60 })
    expect(answer.invites).toHaveLength(2)
    for (const path of files()) expect([path, statSync(path).uid]).toEqual([path, 65534])
  },
)

test('asking the same twice, as after a crash of the coordinator, issues one invite', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  await loopback.coordinator.stop()
  const control = new ControlFolder(loopback.run)
  const asked = await control.ask({ action: 'invite', count: 2, expiresSeconds: 60 })
  // It was done, and the process ended before it could be answered.
  await Admissions.open(loopback.run).issueInvites(2, new Date(Date.now() + 60_000), { request: asked })
  const coordinator = await loopback.start()
  await until(() => readdirSync(join(loopback.run, 'control')).includes(`${asked}.answer`))
  const first = await control.takeAnswer(asked)
  expect(first!.invites).toHaveLength(2)
  expect(coordinator.invites).toHaveLength(3)
})

test.each([
  [
    'an invite for longer than ten years',
    { action: 'invite', count: 1, expiresSeconds: 1e13 },
    'SITES_REQUEST_INVALID',
  ],
  ['an action of another version', { action: 'explode' }, 'SITES_REQUEST_INVALID'],
])('%s is refused with a code, and ends no run, also not the next one', async (_, request, code) => {
  loopback = new Loopback(1)
  await loopback.start()
  await loopback.coordinator.stop()
  const control = new ControlFolder(loopback.run)
  const id = await control.ask(request as Parameters<ControlFolder['ask']>[0])
  const coordinator = await loopback.start()
  await until(() => readdirSync(join(loopback.run, 'control')).includes(`${id}.answer`))
  await expect(control.takeAnswer(id)).rejects.toMatchObject({ code })
  await until(() => readdirSync(join(loopback.run, 'control')).length === 0)
  await Promise.all([coordinator.finished, loopback.join('site-1').finished])
})

test('keys that two processes use at the same time are told to the operator', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const site = loopback.join('site-1', { delayMs: 60_000 })
  await until(isOnline('site-1'))
  const identity = await loadIdentity(join(loopback.siteFolder('site-1'), 'keys', 'site.json'))
  const raw = new RawSite('site-1', identity, parseInvite(loopback.invites.get('site-1')!))
  raws.push(raw)
  await until(() => loopback.logs('warn').some((line) => /site-1 are used by two processes/.test(line)))
  site.stop()
})

test('a coordinator that is stopped while it writes down whom it lets in gives its folder back after that', async () => {
  loopback = new Loopback(1)
  const write = CoalescedFile.prototype.write
  let isWriting = false
  const slow = vi.spyOn(CoalescedFile.prototype, 'write').mockImplementation(async function (
    this: CoalescedFile,
    content,
  ) {
    if (this.path.endsWith('sites.json')) {
      isWriting = true
      await sleep(1000)
    }
    return write.call(this, content)
  })
  await loopback.start()
  loopback.join('site-1')
  await until(() => isWriting)
  await loopback.coordinator.stop()
  slow.mockRestore()
  expect(Admissions.open(loopback.run).sites.map(({ site }) => site)).toEqual(['site-1'])
})

test('an answer that comes when the coordinator has stopped lets nobody in, and the site asks the next one', async () => {
  loopback = new Loopback(1)
  let approve: ((isApproved: boolean) => void) | undefined
  await loopback.start({
    approve: () =>
      new Promise((resolve) => {
        approve = resolve
      }),
  })
  const site = loopback.join('site-1')
  await until(() => approve !== undefined)
  await loopback.coordinator.stop()
  approve!(true)
  await sleep(100)
  expect(Admissions.open(loopback.run).sites).toEqual([])
  const coordinator = await loopback.start()
  await Promise.all([coordinator.finished, site.finished])
})

test('an invite that is revoked lets nobody in, nor who is just being asked about, and one that was used is named', async () => {
  loopback = new Loopback(1)
  await loopback.start({ approve: never, minSites: 1 })
  const { invites } = await administerSites(loopback.run, { action: 'invite', count: 2, expiresSeconds: 3600 })
  const [asking, unused] = invites.map(({ invite }) => invite)
  loopback.invites.set('site-1', asking!)
  const site = loopback.join('site-1')
  const list = () => administerSites(loopback.run, { action: 'list' })
  while ((await list()).sites.length === 0);
  for (const invite of [asking!, `meshfl join ${unused} --data ./site`])
    expect(await administerSites(loopback.run, { action: 'revoke', site: invite })).toMatchObject({
      note: expect.stringContaining('withdrawn'),
    })
  await expect(site.finished).rejects.toMatchObject({ code: 'INVITE_USED' })
  loopback.invites.set('site-2', unused!)
  await expect(loopback.join('site-2').finished).rejects.toMatchObject({ code: 'FEDERATION_REFUSED' })
  const after = await list()
  expect(after.sites).toEqual([])
  expect(after.invites).toHaveLength(1) // that of the start
  await expect(administerSites(loopback.run, { action: 'revoke', site: unused! })).rejects.toMatchObject({
    code: 'INVITE_UNKNOWN',
  })
  const third = loopback.join('site-3')
  while (
    await administerSites(loopback.run, { action: 'approve', site: 'site-3' }).then(
      () => false,
      () => true,
    )
  );
  const used = loopback.invites.get('site-3')!
  await expect(administerSites(loopback.run, { action: 'revoke', site: used })).rejects.toMatchObject({
    code: 'INVITE_USED',
    hint: expect.stringContaining('site-3'),
  })
  await third.finished
})
