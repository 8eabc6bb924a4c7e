import type { ModelState } from '@meshfl/core'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import { administerSites } from './administer-sites.js'
import { readLedger, verifyLedger } from './ledger.js'
import { createFakeTrainer, isState, Loopback, undisturbedRun, until } from './loopback.fixture.js'
import { type Header, PROTOCOL_VERSION } from './messages.js'
import { approveAndStop, openRawSite, type RawSite } from './raw-site.fixture.js'

const door = vi.hoisted(() => ({ checks: 0, opens: Promise.resolve() }))

/** The real check, which tells a site-2's update only when the test lets it. */
vi.mock('./ledger.js', async (load) => {
  const real = await load<typeof import('./ledger.js')>()
  const verifyUpdateLater: typeof real.verifyUpdateLater = async (key, claim, signed) => {
    const isRight = await real.verifyUpdateLater(key, claim, signed)
    if (claim.site === 'site-2') {
      door.checks += 1
      await door.opens
    }
    return isRight
  }
  return { ...real, verifyUpdateLater }
})

let hash: string
/** Of the model after round 1. */
let firstHash: string
let loopback: Loopback
let raw: RawSite | undefined

beforeAll(async () => {
  const { parametersSha256, events } = await undisturbedRun()
  hash = parametersSha256
  firstHash = modelOfRound1(events)
})

afterEach(async () => {
  await raw?.close()
  raw = undefined
  await loopback?.close()
})

/** Lets no check of an update of site-2 end until the function that it gives is called. */
function holdChecks(): () => void {
  let open!: () => void
  door.opens = new Promise<void>((resolve) => {
    open = resolve
  })
  return open
}

/** When so many updates of site-2 are being checked. */
async function beingChecked(updates: number): Promise<void> {
  const before = door.checks
  await until(() => door.checks >= before + updates)
}

/** A coordinator, site-1, and a client with the keys of site-2 that does `first` with its first task of training. */
async function startRound(
  first: (task: Header<'TASK'>, model: ModelState) => void,
  { minSites = 2, study = {} }: { minSites?: number; study?: Record<string, unknown> } = {},
): Promise<RawSite> {
  loopback = new Loopback(2, study)
  await loopback.start({ minSites }, { checkedAtOnce: 0 })
  await approveAndStop(loopback, 'site-2')
  loopback.coordinator.pause()
  const site = await openRawSite(loopback, 'site-2')
  raw = site
  site.work(1)
  const work = site.onTask!
  site.onTask = (task, model) => {
    site.onTask = work
    first(task, model)
  }
  loopback.join('site-1')
  await until(() => loopback.events.some(isState('site-1', 'online')))
  loopback.coordinator.resume()
  return site
}

/** Starts a round and waits until the true update of site-2 is being checked. `open` lets the check end. */
async function trueUpdateBeingChecked(
  options?: Parameters<typeof startRound>[1],
  copies = 1,
): Promise<{ site: RawSite; open(): void }> {
  let open!: () => void
  const site = await startRound(async (task, model) => {
    const { header, bodies } = await trueResult(site, task, model)
    open = holdChecks()
    for (let i = 0; i < copies; i++) site.send(header, bodies)
  }, options)
  await beingChecked(1)
  return { site, open }
}

/** What site-2's trainer makes of its first task, as it is sent. */
async function trueResult(site: RawSite, task: Header<'TASK'>, model: ModelState) {
  const signal = new AbortController().signal
  const input = { round: 1, rounds: 3, model, state: null, signal, onStep: () => undefined }
  const outcome = await createFakeTrainer('site-2').train(input)
  return { ...outcome, ...site.result(task, outcome.model, outcome.samples) }
}

function modelOfRound1(events: Loopback['events']): string {
  const [applied] = events.filter((event) => event.type === 'update-applied')
  return applied!.parametersSha256
}

function expectLedger(sites: readonly string[][]): void {
  const lines = loopback.ledgerLines()
  expect(verifyLedger(lines, loopback.coordinator.signingPublic)).toMatchObject({ ok: true })
  expect(readLedger(lines).map((line) => line.sites.map(({ site }) => site))).toEqual(sites)
}

const BOTH = ['site-1', 'site-2']

test('a forged update is refused while others are being checked, and the true one behind it counts', async () => {
  let open!: () => void
  const site = await startRound(async (task, model) => {
    const { header, bodies, model: update, samples } = await trueResult(site, task, model)
    const forged = site.result(task, update, samples, { samples: samples + 1 })
    open = holdChecks()
    site.send(forged.header, forged.bodies)
    site.send(header, bodies)
  })
  await beingChecked(1)
  await until(() => loopback.events.some((event) => event.type === 'site-trained' && event.site === 'site-1'))
  expect(loopback.logs('warn')).toEqual([])
  open()
  await loopback.coordinator.finished
  expect(modelOfRound1(loopback.events)).toBe(firstHash)
  expect(loopback.logs('warn')).toContainEqual(expect.stringMatching(/site-2: .* the update’s signature is wrong/))
  expectLedger([BOTH, BOTH, BOTH])
})

test('an update that comes again while it is being checked counts once, and is acknowledged when it is on the disk', async () => {
  const { site, open } = await trueUpdateBeingChecked({}, 5)
  await new Promise((resolve) => setTimeout(resolve, 200)) // longer than an acceptance waits
  expect(site.of('ACK')).toEqual([])
  open()
  await loopback.coordinator.finished
  expect(modelOfRound1(loopback.events)).toBe(firstHash)
  expectLedger([BOTH, BOTH, BOTH])
  const trained = loopback.events.filter((event) => event.type === 'site-trained' && event.round === 1)
  expect(trained).toHaveLength(2)
})

test('an update that is being checked when its site is revoked does not count', async () => {
  const { site, open } = await trueUpdateBeingChecked({ minSites: 1 })
  await administerSites(loopback.run, { action: 'revoke', site: 'site-2' })
  open()
  await loopback.coordinator.finished
  expectLedger([['site-1'], ['site-1'], ['site-1']])
  expect(site.of('DENY')).toHaveLength(1)
  expect(site.of('ACK')).toEqual([])
})

test('an update that is being checked when its round is closed comes too late', async () => {
  const { site, open } = await trueUpdateBeingChecked({
    minSites: 1,
    study: { rounds: 1, federation: { roundDeadlineSeconds: 0.3 } },
  })
  await until(() => loopback.events.some(({ type }) => type === 'update-applied'))
  open()
  await until(() => site.of('ACK').some(({ purpose }) => purpose === 'train'))
  expect(site.of('ACK')).toContainEqual(expect.objectContaining({ purpose: 'train', status: 'stale' }))
  await until(() => loopback.ledgerLines().length === 1)
  expectLedger([['site-1']])
})

test('an update that is being checked when its connection ends counts, though its site learns of it at its next login', async () => {
  const { site, open } = await trueUpdateBeingChecked()
  await site.close()
  await new Promise((resolve) => setTimeout(resolve, 200)) // longer than it takes to find the connection gone
  open()
  await until(() => loopback.events.some(({ type }) => type === 'update-applied'))
  expect(modelOfRound1(loopback.events)).toBe(firstHash)
  loopback.join('site-2')
  await loopback.coordinator.finished
  expect(loopback.trainers.get('site-2')!.begun).toEqual([2, 3])
  expectLedger([BOTH, BOTH, BOTH])
})

test('what a site says last behind an update that is being checked is heard, though its connection ends', async () => {
  const { site, open } = await trueUpdateBeingChecked()
  const error = { v: PROTOCOL_VERSION, type: 'ERROR', phase: 'evaluation', message: 'it broke' } as const
  site.send(error, [Buffer.from('Error: it broke')])
  await site.close()
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(loopback.events.some(isState('site-2', 'failed'))).toBe(false)
  open()
  await until(() => loopback.events.some(isState('site-2', 'failed')))
  expect(loopback.logs('error')).toContainEqual('Error: it broke')
})

test('an update that is being checked when the coordinator stops is not kept, and counts when it comes again', async () => {
  const { site, open } = await trueUpdateBeingChecked()
  await loopback.coordinator.stop()
  open()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(site.of('ACK')).toEqual([])
  await site.close()
  loopback.join('site-2')
  await loopback.start()
  const { parametersSha256 } = await loopback.coordinator.finished
  expect(parametersSha256).toBe(hash)
  expectLedger([BOTH, BOTH, BOTH])
})
