import type { CrossScore, MeshflEvent } from '@meshfl/core'
import { expect, test } from 'vitest'
import { buildReport } from './build-report.js'
import { renderHtml } from './render/html/page.js'
import { crossSiteFromEvents, runFigures, trafficFromEvents } from './run-figures.js'
import { scoreMatrix } from './score-matrix.js'
import { overheadText, totalTraffic } from './traffic-total.js'

const time = ''

function traffic(site: string, round: number | undefined, sent: number, received: number): MeshflEvent {
  const payload = { payloadSent: sent / 2, payloadReceived: received / 2 }
  const at = round === undefined ? {} : { round }
  return { type: 'traffic', time, site, ...at, bytesSent: sent, bytesReceived: received, ...payload }
}

const started: MeshflEvent = {
  ...{ type: 'run-started', time, command: 'serve', run: '', rounds: 3, sites: 2 },
  ...{ engine: '', device: '', path: '' },
}

test('the bytes of a site are summed over restarts of the coordinator, whose count begins anew', () => {
  const events = [
    ...[started, traffic('b', 1, 100, 10), traffic('a', 1, 8, 4), traffic('b', undefined, 150, 15)],
    ...[traffic('b', 2, 300, 30), started],
    // Larger than before the restart: it is the new process that tells it.
    traffic('b', 3, 400, 40),
    traffic('b', 3, 450, 60), // the end of the run: part of no round
  ]
  expect(trafficFromEvents(events)).toEqual([
    {
      ...{ site: 'a', rounds: 1, bytesSent: 8, bytesReceived: 4, payloadSent: 4, payloadReceived: 2 },
      ...{ roundSent: 8, roundReceived: 4 },
    },
    {
      // 100, 200 and 400 in the rounds, 50 after them.
      ...{ site: 'b', rounds: 3, bytesSent: 750, bytesReceived: 90, payloadSent: 375, payloadReceived: 45 },
      ...{ roundSent: 200, roundReceived: 20 },
    },
  ])
  const total = totalTraffic(trafficFromEvents(events))
  expect(total).toMatchObject({ rounds: 3, bytesSent: 758, bytesReceived: 94, roundSent: 208 })
  expect(overheadText(total)).toBe('100.0 %')
  expect(overheadText({ ...total, payloadSent: 0, payloadReceived: 0 })).toBe('–')
})

test('a count that falls without a start that was logged is one that began anew', () => {
  expect(trafficFromEvents([traffic('a', 1, 100, 10), traffic('a', 2, 60, 20)])).toMatchObject([
    { bytesSent: 160, bytesReceived: 30, rounds: 2 },
  ])
})

const score = (model: string, site: string, cases: number, foregroundDice: number | null): CrossScore => ({
  ...{ model, site, cases, loss: null },
  dice: { perClass: {}, foregroundDice },
})
const scores = [
  ...[score('(global)', 'site-2', 3, 0.5), score('(global)', 'site-1', 1, 0.9)],
  ...[score('site-1', 'site-1', 1, 0.8), score('site-1', 'site-2', 3, null)],
  ...[score('site-2', 'site-2', 3, 0.7), score('site-2', 'site-3', 0, null)],
]
const table = (round: number, all: CrossScore[]): MeshflEvent => ({ type: 'cross-site', time, round, scores: all })

test('the cross-site table has a row a model and a column a site; the mean is over all cases', () => {
  const crossSite = crossSiteFromEvents([table(1, []), table(2, scores)])!
  expect(crossSite.round).toBe(2)
  expect(scoreMatrix(crossSite)).toEqual({
    sites: [
      { site: 'site-1', cases: 1 },
      { site: 'site-2', cases: 3 },
      { site: 'site-3', cases: 0 },
    ],
    rows: [
      { model: '(global)', dice: [0.9, 0.5, null], mean: (0.9 + 3 * 0.5) / 4 },
      { model: 'site-1', dice: [0.8, null, null], mean: 0.8 },
      { model: 'site-2', dice: [null, 0.7, null], mean: (3 * 0.7) / 3 },
    ],
  })
})

test('a report without cases shows the run: the cross-site table with the best of a column, and the bytes of every site', () => {
  const classes = ['background', 'white matter'].map((name, value) => ({ name, value }))
  const input = { tool: 'meshfl', dataset: { name: 'run' }, classes, cases: [] }
  const events = [started, traffic('site-1', 1, 24_000, 23_000), traffic('site-2', 1, 26_000, 25_000), table(2, scores)]
  const page = renderHtml(buildReport({ ...input, ...runFigures(events) }), [])
  expect(page).toContain('Every model at every site')
  expect(page.match(/<td class="[^"]*best">[^<]*/g)?.map((cell) => cell.replace(/.*>/, ''))).toEqual([
    '0.900', // site-1, by the global model
    '0.800', // all cases, by site-1: the only case that it has a figure of
    '0.700', // site-2
  ])
  for (const text of ['All sites', '50.0 kB', '24.0 kB', '48.0 kB', '100.0 %']) expect(page).toContain(text)
  expect(page).not.toMatch(/Dice by class|NaN|undefined/)
  const plain = renderHtml(buildReport(input), [])
  expect(plain).not.toMatch(/Every model at every site|Traffic/)
})
