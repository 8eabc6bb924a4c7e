import type { MeshflEvent, SiteDescription } from '@meshfl/core'
import { describeTinySite } from '@meshfl/federation'
import { expect, test } from 'vitest'
import { CanaryReport, describeCanary } from './canary-report.js'

const description = (site: string, change: Partial<SiteDescription> = {}): SiteDescription => ({
  ...describeTinySite(site),
  trainCases: 10,
  version: '1.0.0',
  findings: 0,
  plannedBytes: 3e9,
  memoryBytes: 16e9,
  ...change,
})
const DICE = { perClass: {}, foregroundDice: null }
const at = (seconds: number): string => new Date(1e12 + 1000 * seconds).toISOString()
const trained = (site: string, seconds: number): MeshflEvent => ({
  ...{ type: 'site-trained', time: at(0), site, round: 1, loss: 1, dice: DICE, samples: 10, seconds, updateSha256: '' },
})
const step = (site: string, seconds: number): MeshflEvent => ({
  ...{ type: 'step', time: at(0), site, round: 1, step: 1, steps: 10, loss: 1, seconds },
})
const scored = (site: string, seconds: number): MeshflEvent => ({
  ...{ type: 'site-evaluated', time: at(seconds), site, round: 1, loss: 1, dice: DICE, cases: 2 },
})
const applied: MeshflEvent = {
  ...{ type: 'update-applied', time: at(0), round: 1, parametersSha256: '', sites: [], leftOut: [] },
}

test('a round takes as long as its slowest site trains, by its usual step, and its slowest one scores', () => {
  const report = new CanaryReport('1.0.0')
  for (const site of ['a', 'b']) report.admit(description(site))
  for (const seconds of [9, 2, 2, 2]) report.take(step('a', seconds)) // 9: the first one reads and warms up
  report.take(step('b', 9))
  for (const event of [trained('a', 27), trained('b', 15), applied, scored('a', 3), scored('b', 4)]) report.take(event)
  const result = report.finish(50)
  expect(result).toMatchObject({ ok: true, rounds: 50, roundSeconds: 20 + 4, runSeconds: 1200 })
  expect(describeCanary(result)).toMatch(/a round takes about 24\.0 s, 50 rounds 20m 00s$/)
})

test('what is to be looked at is named by its site, and who only asked is left out', () => {
  const report = new CanaryReport('1.0.0')
  report.admit(description('a', { version: '0.9.0', findings: 2, validCases: 0, plannedBytes: 15e9 }))
  report.admit(description('stranger'))
  report.take(trained('a', 5))
  const result = report.finish(1)
  expect(result.ok).toBe(false)
  expect(result.sites).toHaveLength(1)
  expect(result.sites[0]!.warnings).toEqual([
    'it has meshfl 0.9.0, the coordinator 1.0.0',
    'its dataset has 2 findings: look at its qc.html',
    'it has no validation case: it does not count for the best model',
    'a step takes 15.0 GB of 16.0 GB',
  ])
})
