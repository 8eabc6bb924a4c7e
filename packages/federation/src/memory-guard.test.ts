import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { enrolmentKeys, inviteAddress, parseInvite } from './invite.js'
import { Loopback, until } from './loopback.fixture.js'
import { MemoryGuard } from './memory-guard.js'
import { encodeZ85 } from './z85.js'

let loopback: Loopback | undefined
let flood: ChildProcess | undefined
afterEach(async () => {
  flood?.kill('SIGKILL')
  await loopback?.close()
})

test('memory above the limit is relieved once, and what the allocator keeps does not count again', async () => {
  let used = 100
  let relieved = 0
  const said: string[] = []
  const guard = new MemoryGuard({
    limitBytes: 1000,
    measure: () => used,
    relieve: async () => {
      relieved += 1
    },
    onRelieved: (words) => said.push(words),
  })
  for (used of [900, 1100, 1101]) await guard.look()
  expect(relieved).toBe(1)
  await guard.look()
  expect(relieved).toBe(1)
  used = 2000
  await guard.look()
  expect(relieved).toBe(2)
  expect(said[0]).toMatch(/^1.00 kB were taken by messages that do not end/)
})

test('a message that does not end takes bounded memory, and the run goes on', { timeout: 60_000 }, async () => {
  loopback = new Loopback(2)
  const limitBytes = 96 << 20
  const coordinator = await loopback.start({}, { floodBytes: limitBytes })
  const { secret, ...invite } = parseInvite(coordinator.invites[1]!.invite)
  const keys = enrolmentKeys(secret)
  const zeromq = pathToFileURL(createRequire(import.meta.url).resolve('zeromq')).href
  // 3 GB as one message, from a process of its own: each frame is the same half megabyte.
  const script = `
    const { Dealer } = (await import(${JSON.stringify(zeromq)})).default
    const dealer = new Dealer({ linger: 0, curvePublicKey: ${JSON.stringify(encodeZ85(keys.curvePublic))},
      curveSecretKey: ${JSON.stringify(encodeZ85(keys.curveSecret))}, curveServerKey: ${JSON.stringify(encodeZ85(invite.curvePublic))} })
    const entered = new Promise((resolve) => dealer.events.on('handshake', resolve))
    dealer.connect(${JSON.stringify(inviteAddress({ ...invite, secret }))})
    await entered
    const part = Buffer.alloc(1 << 19)
    await dealer.send(Array.from({ length: 6000 }, () => part))
    setInterval(() => undefined, 1000)`
  flood = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' })
  let peak = 0
  const before = process.memoryUsage.rss()
  await until(() => {
    peak = Math.max(peak, process.memoryUsage.rss() - before)
    return loopback!.logs('warn').some((line) => /messages that do not end/.test(line))
  }, 50_000)
  flood.kill('SIGKILL')
  expect(peak).toBeLessThan(1.5e9)
  const sites = [loopback.join('site-1'), loopback.join('site-2')]
  await Promise.all([coordinator.finished, ...sites.map(({ finished }) => finished)])
})
