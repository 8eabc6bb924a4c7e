import { type AddressInfo, connect, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { SiteDescription } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { describeFake, isState, Loopback, TINY_OPTIMIZER, until } from './loopback.fixture.js'

let loopback: Loopback
afterEach(() => loopback.close())

test('what the study asks for is asked of the first site too', async () => {
  loopback = new Loopback(1, { conform: { mode: 'niivue', shape: [256, 256, 256] } })
  await loopback.start()
  await expect(loopback.join('site-1').finished).rejects.toMatchObject({
    message: expect.stringMatching(/site-1 was conformed with freesurfer, the study has niivue/),
  })
})

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))

test.skipIf(!hasIpv6)(
  'a coordinator may listen on an IPv6 address, and sites find it there (where ::1 exists)',
  async () => {
    loopback = new Loopback(1)
    const coordinator = await loopback.start({ bind: 'tcp://[::1]:*' })
    expect(coordinator.endpoint).toMatch(/^tcp:\/\/\[::1\]:\d+$/)
    const site = loopback.join('site-1')
    expect(await coordinator.finished).toMatchObject({ rounds: 3 })
    await site.finished
  },
)

test('sites whose scans were left as they lie must lie alike, where they tell', async () => {
  const lying = (site: string, orientation?: string) => async () =>
    describeFake(site, { conform: { mode: 'none', shape: [256, 256, 256], ...(orientation ? { orientation } : {}) } })
  loopback = new Loopback(3)
  await loopback.start()
  loopback.join('site-1', { describe: lying('site-1', 'RAS') })
  await until(() => loopback.events.some(isState('site-1', 'online')))
  await expect(loopback.join('site-2', { describe: lying('site-2', 'LIA') }).finished).rejects.toMatchObject({
    message: expect.stringMatching(/site-2 has scans that lie LIA, site-1 has RAS/),
  })
  loopback.join('site-3', { describe: lying('site-3') })
  await until(() => loopback.events.some(isState('site-3', 'online')))
})

test.each([
  ['classes', { classes: 5 }, /site-2 has 5 classes, the study 3/],
  ['labelMap', { labelMap: 'aseg' }, /site-2 has the label map aseg, site-1 has gw3/],
  ['voxelSizeMm', { voxelSizeMm: 2 }, /site-2 has voxels of 2 mm, site-1 has 1 mm/],
  ['conform', { conform: { mode: 'niivue', shape: [256, 256, 256] } }, /conformed with niivue, site-1 has freesurfer/],
  [
    'classNames',
    { classNames: ['background', 'grey matter', 'white matter'] },
    /site-2 has the classes background, grey matter, white matter, the study background, white matter, grey matter/,
  ],
  ['site', { site: 'site-1' }, /another site is called site-1 .*every site needs a name of its own/],
  ['name', { site: 'site 2' }, /what the site says of itself cannot be read: .*site/s],
  ['trainCases', { trainCases: 0 }, /site-2 has no training cases/],
] satisfies [string, Partial<SiteDescription>, RegExp][])(
  'a site whose %s does not fit is denied in words that name both',
  async (_, change, words) => {
    loopback = new Loopback(2)
    await loopback.start()
    loopback.join('site-1')
    await until(() => loopback.events.some(isState('site-1', 'online')))
    const site = loopback.join('site-2', { describe: async () => describeFake('site-2', change) })
    await expect(site.finished).rejects.toMatchObject({
      code: 'FEDERATION_DENIED',
      message: expect.stringMatching(words),
    })
  },
)

type Conform = SiteDescription['conform']

test.each([
  [{}, 'freesurfer', [256, 256, 257], /site-2 has volumes of 256 x 256 x 257 voxels, site-1 has 256 x 256 x 256/],
  [{}, 'none', [512, 512, 513], /site-2 has volumes of 512 x 512 x 513 voxels, site-1 has 256 x 256 x 256/],
  [{}, 'none', [128, 128, 127], /site-2 has volumes of 128 x 128 x 127 voxels, site-1 has 256 x 256 x 256/],
  [{}, 'none', [512, 512, 512], undefined],
  [{}, 'none', [200, 256, 180], undefined],
  [
    { conform: { mode: 'none', shape: [64, 64, 64] } },
    'none',
    [4096, 4096, 4096],
    /4096 voxels, the study has 64 x 64 x 64/,
  ],
] satisfies [object, Conform['mode'], Conform['shape'], RegExp | undefined][])(
  'with a step an exchange no site chooses its weight by a shape of its own: %o, %s %o',
  async (study, mode, shape, words) => {
    loopback = new Loopback(2, { federation: { sync: 'step' }, ...study })
    await loopback.start({ stepOptimizer: TINY_OPTIMIZER })
    const join = (site: string, shape: Conform['shape']) =>
      loopback.join(site, { describe: async () => describeFake(site, { conform: { mode, shape } }) })
    join('site-1', 'conform' in study ? [64, 64, 64] : [256, 256, 256])
    await until(() => loopback.events.some(isState('site-1', 'online')))
    const site = join('site-2', shape)
    if (words === undefined) await until(() => loopback.events.some(isState('site-2', 'online')))
    else await expect(site.finished).rejects.toMatchObject({ message: expect.stringMatching(words) })
  },
)

test('a site that nobody approves is denied', async () => {
  loopback = new Loopback(1)
  const asked: unknown[] = []
  await loopback.start({
    approve: async (request) => {
      asked.push(request)
      return false
    },
  })
  const site = loopback.join('site-1')
  await expect(site.finished).rejects.toMatchObject({ code: 'FEDERATION_DENIED' })
  expect(asked).toMatchObject([
    { site: 'site-1', fingerprint: expect.stringMatching(/^([0-9a-f]{4}-){7}[0-9a-f]{4}$/) },
  ])
})

test('an invite is for one site, and for its time', async () => {
  loopback = new Loopback(1)
  await loopback.start()
  const first = loopback.join('site-1', { delayMs: 60_000 })
  await until(() => loopback.events.some(isState('site-1', 'online')))
  loopback.invites.set('site-2', loopback.invites.get('site-1')!)
  await expect(loopback.join('site-2').finished).rejects.toMatchObject({ code: 'INVITE_USED' })
  first.stop()
  await loopback.coordinator.stop()
  expect((await loopback.start()).invites).toEqual([])

  const late = new Loopback(1)
  await late.start({ inviteTtlSeconds: -1 })
  expect(late.coordinator.invites).toEqual([])
  await late.close()
})

test('a coordinator that has no time for a new site’s handshakes is not taken for another one', async () => {
  loopback = new Loopback(1, { rounds: 1 })
  const coordinator = await loopback.start()
  const { invite } = coordinator.invites[0]!
  const port = Number(/:(\d+)\//.exec(invite)![1])
  let connections = 0
  const line = createServer((socket) => {
    socket.on('error', () => undefined)
    // More often than it believes of somebody who has other keys.
    if (++connections <= 6) {
      setTimeout(() => socket.end(), 1100)
      return
    }
    const through = connect(port, '127.0.0.1').on('error', () => undefined)
    socket.pipe(through).pipe(socket)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => line.once('listening', resolve))
  loopback.invites.set('site-1', invite.replace(/:\d+\//, `:${(line.address() as AddressInfo).port}/`))
  const site = loopback.join('site-1')
  await Promise.all([coordinator.finished, site.finished])
  line.close()
  expect(connections).toBeGreaterThan(6)
})
