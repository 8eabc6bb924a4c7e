import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { cli, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

let dataset: string
beforeAll(async () => {
  dataset = await makeDataset(2)
})

const simulate = (run: string, rounds: number): string[] => [
  'simulate',
  dataset,
  '--out',
  run,
  '--rounds',
  String(rounds),
  '--no-in-process',
  '--json',
]

interface Process {
  pid: number
  /** Its command line. */
  words: string[]
}

/** The processes that another has started, and that have not ended. */
function childrenOf(parent: number): Process[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const [, state, ppid] = /^.*\) (\S) (\d+) /s.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))!
      if (Number(ppid) !== parent || state === 'Z') return []
      return [{ pid: Number(name), words: readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0') }]
    } catch {
      return [] // ended meanwhile
    }
  })
}

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

  test('no invite stands on the command line of a site, where every user of the machine could read it', async () => {
    const run = path.join(temporaryFolder('invites'), 'run')
    const simulation = startCli(simulate(run, 1))
    await simulation.waitFor((event) => event.type === 'round-started')
    const sites = childrenOf(simulation.child.pid!)
    expect(sites.map(({ words }) => words.includes('join'))).toEqual([true, true])
    for (const { words } of sites) expect(words.join(' ')).not.toContain('mfl1:')
    expect((await simulation.ended).code).toBe(0)
    for (const site of ['site-1', 'site-2'])
      expect(statSync(path.join(run, 'sites', site, 'invite.txt')).mode & 0o777).toBe(0o600)
  })
})
