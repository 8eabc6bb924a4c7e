import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { lockFolder } from '@meshfl/core'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { bin, cli, type RunningCli, startCli, temporaryFolder } from './cli.js'
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

const seen: Process[] = []
afterEach(() => {
  for (const site of seen.splice(0)) if (isAlive(site)) process.kill(site.pid, 'SIGKILL')
})

/** The two processes of a simulation's sites. */
function sitesOf(simulation: RunningCli): Process[] {
  const sites = childrenOf(simulation.child.pid!)
  seen.push(...sites)
  expect(sites.map(({ words }) => words.includes('join'))).toEqual([true, true])
  return sites
}

function isAlive({ pid, words }: Process): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === words.join('\0')
  } catch {
    return false
  }
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
    for (const { words } of sitesOf(simulation)) expect(words.join(' ')).not.toContain('mfl1:')
    expect((await simulation.ended).code).toBe(0)
    for (const site of ['site-1', 'site-2'])
      expect(statSync(path.join(run, 'sites', site, 'invite.txt')).mode & 0o777).toBe(0o600)
  })

  test('a simulation that is killed takes its sites along, and the same command goes on at once', async () => {
    const run = path.join(temporaryFolder('killed'), 'run')
    const simulation = startCli(simulate(run, 20))
    await simulation.waitFor((event) => event.type === 'round-finished')
    const sites = sitesOf(simulation)
    simulation.child.kill('SIGKILL')
    expect(await simulation.ended).toMatchObject({
      signal: 'SIGKILL',
      last: { type: expect.not.stringMatching('done') },
    })
    const { code, stderr, last } = await cli(simulate(run, 20))
    expect(`${stderr}${code}`).toBe('0')
    expect(last).toMatchObject({ type: 'done', rounds: 20 })
    await expect.poll(() => sites.filter(isAlive), { timeout: 10_000 }).toEqual([])
  })

  test('a simulation that loses its terminal stops as at Ctrl-C, with its sites', async () => {
    const run = path.join(temporaryFolder('hung-up'), 'run')
    const simulation = startCli(simulate(run, 50), { detached: true })
    await simulation.waitFor((event) => event.type === 'round-finished')
    const sites = sitesOf(simulation)
    // A shell passes on what the kernel says to it too: that is no second Ctrl-C.
    simulation.child.kill('SIGHUP')
    simulation.child.kill('SIGHUP')
    expect(await simulation.ended).toMatchObject({ code: 130, last: { type: 'error', code: 'INTERRUPTED' } })
    await expect.poll(() => sites.filter(isAlive), { timeout: 10_000 }).toEqual([])
  })
})

test('a site whose folder is still in use is waited for, which is told', async () => {
  const run = path.join(temporaryFolder('in-use'), 'run')
  const lock = await lockFolder(path.join(run, 'sites/site-1'))
  const simulation = startCli(simulate(run, 1))
  await simulation.waitFor(
    (event) =>
      event.type === 'log' && event.site === 'site-1' && / is in use by .* waiting for its end$/.test(event.message),
  )
  lock.release()
  const { code, stderr } = await simulation.ended
  expect(`${stderr}${code}`).toBe('0')
})

const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).error === undefined

describe.skipIf(!hasScript)(
  `a terminal that is closed${hasScript ? '' : ' (skipped: no program script, which makes one)'}`,
  () => {
    /** Begins a simulation on a terminal, closes that in the first round, and gives the simulation's last line and exit code. */
    async function closeTerminal(shell: (command: string) => string, rounds: number) {
      const folder = temporaryFolder('terminal')
      const [run, lines, code] = ['run', 'lines', 'code'].map((name) => path.join(folder, name)) as [
        string,
        string,
        string,
      ]
      const words = ['simulate', dataset, '--out', run, '--rounds', String(rounds), '--in-process', '--json']
      const command = `${shell(`${process.execPath} ${bin} ${words.join(' ')} > ${lines}`)}; echo $? > ${code}`
      const terminal = spawn('script', ['--quiet', '--command', command, '/dev/null'], {
        stdio: ['pipe', 'ignore', 'ignore'],
      })
      const textOf = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '')
      await expect.poll(() => textOf(lines), { timeout: 30_000 }).toContain('"round-started"')
      terminal.kill('SIGKILL')
      await expect.poll(() => textOf(lines), { timeout: 30_000 }).toMatch(/"type":"(done|error)".*\n$/)
      return { last: JSON.parse(textOf(lines).trim().split('\n').at(-1)!), code: () => textOf(code) }
    }

    test('stops a command in order', async () => {
      const { last } = await closeTerminal((command) => `exec ${command}`, 100)
      expect(last).toMatchObject({ type: 'error', code: 'INTERRUPTED' })
    })

    test('stops none that nohup started', async () => {
      const { last } = await closeTerminal((command) => `exec nohup ${command}`, 4)
      expect(last).toMatchObject({ type: 'done', rounds: 4 })
    })

    test('does not make one that was not told fail at its end', async () => {
      // Those that a shell starts are told by the shell, or when it ends: neither comes to pass here.
      const { last, code } = await closeTerminal((command) => `trap '' HUP; ${command}`, 4)
      expect(last).toMatchObject({ type: 'done', rounds: 4 })
      await expect.poll(code, { timeout: 10_000 }).toBe('0\n')
    })
  },
)
