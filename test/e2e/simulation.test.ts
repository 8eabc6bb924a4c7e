import { mkdirSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { cli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

let dataset: string
beforeAll(async () => {
  dataset = await makeDataset(2)
})

const simulate = (run: string, rounds: number): string[] => [
  ...['simulate', dataset, '--out', run, '--rounds', String(rounds), '--no-in-process', '--json'],
]

describe.skipIf(process.platform !== 'linux')('the processes of a simulation, which only Linux shows', () => {
  test('a log of a site that has no room is told, and ends nothing', async () => {
    const run = path.join(temporaryFolder('full'), 'run')
    mkdirSync(path.join(run, 'sites/site-1'), { recursive: true })
    symlinkSync('/dev/full', path.join(run, 'sites/site-1/join.log'))
    const { code, stderr, events, last } = await cli(simulate(run, 2))
    expect(`${stderr}${code}`).toBe('0')
    expect(last).toMatchObject({ type: 'done', rounds: 2 })
    const told = events.filter((event) => event.type === 'log' && event.level === 'warn')
    expect(told).toMatchObject([
      { site: 'site-1', message: expect.stringMatching(/^no room to write .*join\.log: what it prints is left out$/) },
    ])
  })
})
