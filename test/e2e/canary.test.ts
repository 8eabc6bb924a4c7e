import path from 'node:path'
import type { EventOf } from '@meshfl/core'
import { expect, test } from 'vitest'
import { cli, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

test('a canary runs one round on all sites and predicts the run; audit and a simulation in one process agree with processes', async () => {
  const dataset = await makeDataset(2)
  const folder = temporaryFolder('canary')
  const canary = startCli(
    ['canary', '--rounds', '40', '--sites', '2', '--bind', 'tcp://127.0.0.1:*', '--advertise', '127.0.0.1'].concat(
      '--auto-approve',
      '--json',
    ),
  )
  const invites: string[] = []
  await canary.waitFor((event) => event.type === 'invite' && invites.push(event.invite) === 2)
  const sites = ['site-1', 'site-2'].map((site, i) =>
    startCli([
      ...['join', invites[i]!, '--data', path.join(dataset, 'sites', site), '--out', path.join(folder, site)],
      ...['--threads', '1', '--json'],
    ]),
  )
  const { last, code } = await canary.ended
  expect(code).toBe(0)
  const report = last as EventOf<'canary'>
  expect(report).toMatchObject({ type: 'canary', rounds: 40 })
  expect(report.runSeconds).toBeCloseTo(40 * report.roundSeconds)
  expect(report.sites.map(({ site }) => site)).toEqual(['site-1', 'site-2'])
  for (const { plannedBytes, memoryBytes, trainSeconds, evaluateSeconds } of report.sites) {
    expect(plannedBytes).toBeGreaterThan(0)
    expect(memoryBytes).toBeGreaterThan(plannedBytes!)
    expect(trainSeconds).toBeGreaterThan(0)
    expect(evaluateSeconds).toBeGreaterThan(0)
  }
  for (const { ended } of sites) expect((await ended).code).toBe(0)

  const simulate = (out: string, how: string) =>
    cli(['simulate', dataset, '--out', path.join(folder, out), '--rounds', '2', how, '--keep-updates', '--json'])
  const [here, apart] = [await simulate('here', '--in-process'), await simulate('apart', '--no-in-process')]
  expect(here.last).toMatchObject({ type: 'done', rounds: 2 })
  expect((here.last as EventOf<'done'>).parametersSha256).toBe((apart.last as EventOf<'done'>).parametersSha256)
  const audit = await cli(['audit', path.join(folder, 'here'), '--json'])
  expect(audit.code).toBe(0)
  expect(audit.last).toMatchObject({ type: 'audit', rounds: 2, ok: true, replayed: 2, models: 2 })
  const wrongKey = await cli(['audit', path.join(folder, 'here'), '--key', 'A'.repeat(43), '--json'])
  expect(wrongKey.code).toBe(4)
  expect(wrongKey.last).toMatchObject({ type: 'audit', ok: false, problem: { round: 1 } })
})
