import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { cli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

test('a federation ends with its bytes and its cross-site table, and its report needs no scan', async () => {
  const dataset = await makeDataset(2)
  const run = path.join(temporaryFolder('report'), 'run')
  const simulate = ['simulate', dataset, '--out', run, '--rounds', '2', '--in-process', '--cross-site', '--quiet']
  const simulated = await cli(simulate)
  expect(`${simulated.stderr}${simulated.code}`).toBe('0')
  expect(simulated.stdout).toMatch(/model of\s+site-1\s+site-2\s+all cases\n\s+\(global\)( +0\.\d{4}){3}\n\s+site-1/)
  expect(simulated.stdout).toMatch(/traffic: \S+ kB to 2 sites, \S+ kB from them, \d+\.\d % over payload/)

  const evaluated = await cli(['eval', run, '--json'])
  expect(evaluated.last).toMatchObject({ type: 'report', cases: 0, gate: 'none' })
  const report = JSON.parse(readFileSync(path.join(run, 'report/report.json'), 'utf8'))
  expect(report.curves).toHaveLength(2)
  expect(report.siteCurves).toHaveLength(2)
  expect(report.crossSite.scores).toHaveLength(6)
  expect(report.traffic.map(({ site, rounds }: { site: string; rounds: number }) => [site, rounds])).toEqual([
    ['site-1', 2],
    ['site-2', 2],
  ])
  // The same run, told again: of a finished run the sums stay what they were.
  const again = await cli([...simulate.slice(0, -1), '--json'])
  const sum = (key: string): number =>
    report.traffic.reduce((all: number, site: Record<string, number>) => all + site[key]!, 0)
  expect(again.last).toMatchObject({
    type: 'done',
    traffic: { bytesSent: sum('bytesSent'), bytesReceived: sum('bytesReceived') },
  })

  const gated = await cli(['eval', run, '--min-dice', '0.5', '--json'])
  expect(gated).toMatchObject({
    code: 2,
    last: { code: 'USAGE_OPTION', message: 'gates, a baseline and surfaces need cases' },
  })
})

test('with a step an exchange the audit takes every step again with the real optimiser, to the bit', async () => {
  const dataset = await makeDataset(2)
  const run = path.join(temporaryFolder('steps'), 'run')
  const options = ['--rounds', '2', '--in-process', '--sync', 'step', '--keep-updates', '--json']
  const simulated = await cli(['simulate', dataset, '--out', run, ...options])
  expect(`${simulated.stderr}${simulated.code}`).toBe('0')
  const audit = await cli(['audit', run, '--json'])
  // Two sites with two training volumes each and one a step: two steps a round.
  expect(audit.last).toMatchObject({ type: 'audit', ok: true, rounds: 4, replayed: 4 })
  await cli(['eval', run, '--json'])
  const { siteCurves } = JSON.parse(readFileSync(path.join(run, 'report/report.json'), 'utf8'))
  for (const { points } of siteCurves)
    expect(points.map(({ trainLoss }: { trainLoss: unknown }) => trainLoss)).toEqual([
      expect.any(Number),
      expect.any(Number),
    ])
})
