import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { Dealer } from 'zeromq'
import { administerSites } from './administer-sites.js'
import { dialAs } from './claimed-id.fixture.js'
import { loadIdentity } from './identity.js'
import { parseInvite } from './invite.js'
import { verifyLedger } from './ledger.js'
import { Loopback, randomModel, until } from './loopback.fixture.js'
import { packFrames } from './message-parts.js'
import { PROTOCOL_VERSION } from './messages.js'
import { approveAndStop, openRawSite, type RawSite } from './raw-site.fixture.js'

const SITES = ['site-1', 'site-2']
const loopbacks: Loopback[] = []
const clients: (RawSite | Dealer)[] = []
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()))
  await Promise.all(loopbacks.splice(0).map((loopback) => loopback.close()))
})

function federation(sites: number, study: Record<string, unknown> = {}): Loopback {
  const loopback = new Loopback(sites, study)
  loopbacks.push(loopback)
  return loopback
}

async function undisturbed(sites: readonly string[], study: Record<string, unknown> = {}): Promise<string> {
  const loopback = federation(sites.length, study)
  const coordinator = await loopback.start()
  for (const site of sites) loopback.join(site)
  return (await coordinator.finished).parametersSha256
}

async function login(loopback: Loopback, site: string): Promise<RawSite> {
  const raw = await openRawSite(loopback, site)
  clients.push(raw)
  return raw
}

const isRefused = (loopback: Loopback, words: RegExp): boolean => loopback.logs('warn').some((line) => words.test(line))
const asksForWork = { v: PROTOCOL_VERSION, type: 'PING', working: null } as const

test('what was recorded of a site counts nowhere else: at its next connection, at another site’s, in a later round, in another run', async () => {
  const expected = await undisturbed(SITES)
  const loopback = federation(2)
  const coordinator = await loopback.start()
  for (const site of SITES) await approveAndStop(loopback, site)
  const robbed = await login(loopback, 'site-2')
  robbed.work(1)
  const other = await login(loopback, 'site-1')
  await until(() => robbed.of('ACK').length > 0)
  const recorded = [...robbed.said]
  const result = recorded.at(-1)!

  for (const frames of recorded.slice(1)) other.sendRaw(frames) // the first is HELLO: unsigned, and nothing but a question
  await until(() => isRefused(loopback, /a message of site-1 was refused: the signature is wrong/))
  robbed.sendRaw(result)
  await until(() => robbed.of('ACK').some(({ status }) => status === 'duplicate'))
  const next = await login(loopback, 'site-2')
  for (const frames of recorded.slice(1)) next.sendRaw(frames)
  await until(() => isRefused(loopback, /a message of site-2 was refused: the signature is wrong/))
  expect([...other.of('ACK'), ...next.of('ACK')]).toEqual([])
  await next.close()

  // The site comes back, and everything that was recorded comes again before each of its results.
  const said = robbed.of('ADMIT').length
  robbed.hello()
  await until(() => robbed.of('ADMIT').length > said)
  other.work(1)
  const replaying = setInterval(() => {
    for (const frames of recorded.slice(1)) for (const client of [robbed, other]) client.sendRaw(frames)
    for (const client of [robbed, other]) client.send(asksForWork)
  }, 20)
  const { parametersSha256 } = await coordinator.finished.finally(() => clearInterval(replaying))
  expect(parametersSha256).toBe(expected)
  const lines = readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8').trim().split('\n')
  expect(verifyLedger(lines, coordinator.signingPublic)).toEqual({ ok: true, rounds: 3 })

  // The same coordinator and the same sites, in another run.
  const study = { rounds: 4 }
  const second = federation(2, study)
  cpSync(join(loopback.run, 'keys'), join(second.run, 'keys'), { recursive: true })
  cpSync(join(loopback.run, 'sites.json'), join(second.run, 'sites.json'))
  const again = await second.start()
  for (const site of SITES) {
    cpSync(join(loopback.siteFolder(site), 'keys'), join(second.siteFolder(site), 'keys'), { recursive: true })
    const port = new URL(again.endpoint.replace('tcp', 'http')).port
    second.invites.set(site, loopback.invites.get(site)!.replace(/:\d+\//, `:${port}/`))
  }
  const later = await login(second, 'site-2')
  for (const frames of recorded.slice(1)) later.sendRaw(frames)
  await until(() => isRefused(second, /a message of site-2 was refused: the signature is wrong/))
  expect(later.of('ACK')).toEqual([])
  await later.close()
  for (const site of SITES) second.join(site)
  expect((await again.finished).parametersSha256).toBe(await undisturbed(SITES, study))
})

test.each([true, false])(
  'a connection that asks for the routing id of another site gets one of its own, also where that site is there no more (there: %s)',
  async (isThere) => {
    const expected = await undisturbed(SITES)
    const loopback = federation(2)
    // Nobody looks whether the site is still there.
    const coordinator = await loopback.start({}, { timing: { probeMs: 60_000 } })
    for (const site of SITES) await approveAndStop(loopback, site)
    const robbed = await login(loopback, 'site-2')
    if (!isThere) await robbed.close()
    const invite = parseInvite(loopback.invites.get('site-1')!)
    const keys = await loadIdentity(join(loopback.siteFolder('site-1'), 'keys', 'site.json'))
    const thief = dialAs(Buffer.from(robbed.session, 'hex'), invite, keys)
    clients.push(thief)
    await thief.send(packFrames([Buffer.from('{'), Buffer.alloc(0)]))
    await until(() => isRefused(loopback, /a message of an unknown peer was refused: the header is not JSON/))
    if (isThere) {
      robbed.send(asksForWork)
      await until(() => robbed.of('PONG').length > 0)
      await robbed.close()
    }
    for (const site of SITES) loopback.join(site)
    expect((await coordinator.finished).parametersSha256).toBe(expected)
    expect(isRefused(loopback, /a message of site-2 was refused/)).toBe(false)
  },
)

test('a site that is revoked while it is connected is told so, and what it says there later counts no more than its next login', async () => {
  const expected = await undisturbed(['site-1'])
  const loopback = federation(2)
  const coordinator = await loopback.start({ minSites: 1 })
  await approveAndStop(loopback, 'site-2')
  const raw = await login(loopback, 'site-2')
  await until(() => raw.of('TASK').length > 0)
  raw.onTask = () => undefined
  await administerSites(loopback.run, { action: 'revoke', site: 'site-2' })
  await until(() => raw.of('DENY').length > 0)
  expect(raw.of('DENY')[0]).toMatchObject({ code: 'SITE_REVOKED' })
  expect(isRefused(loopback, /^a login was refused: site-2 \(.*\) was revoked at /)).toBe(true)
  raw.work(1)
  raw.onTask!(raw.of('TASK')[0]!, randomModel('initial'))
  await until(() => raw.of('WHO').length > 0)
  expect(isRefused(loopback, /^RESULT before a login was refused$/)).toBe(true)
  raw.hello()
  await until(() => raw.of('DENY').length > 1)
  expect(raw.of('DENY')[1]).toMatchObject({ code: 'SITE_REVOKED' })
  loopback.join('site-1')
  expect((await coordinator.finished).parametersSha256).toBe(expected)
  expect(raw.of('ACK')).toEqual([])
})
