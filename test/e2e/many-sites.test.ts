import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { BenchFederation } from '../../cli/build/bench-federation/federation.js'
import { startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

let federation: BenchFederation | undefined
afterEach(async () => {
  await federation?.close()
  federation = undefined
})

test('with many sites the memory of coordinator and sites does not grow with the rounds', async () => {
  const [sites, from, to] = [32, 10, 60]
  federation = new BenchFederation({ sites, rounds: 1_000_000, sitesPerProcess: sites })
  await federation.start()
  const processes = [federation.coordinator, ...federation.processes]
  const heaps = () => Promise.all(processes.map(async (part) => (await part.memory()).heap))
  await federation.round(from)
  const before = await heaps()
  await federation.round(to)
  const after = await heaps()
  // All updates of a round take 0.74 MB: whoever kept them would have grown by 37 MB. The log, which begins anew when it has
  // 4 MB, and the garbage of the round in progress move it up and down by some.
  for (const [i, heap] of after.entries()) expect(heap - before[i]!).toBeLessThan(16e6)
})

/** Names of a process's threads. */
function threadsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    try {
      return [readFileSync(`/proc/${pid}/task/${task}/comm`, 'utf8').trim()]
    } catch {
      return [] // ended meanwhile
    }
  })
}

describe.skipIf(process.platform !== 'linux')('threads, which only Linux lists by name', () => {
  async function threadsWith(sites: number): Promise<number> {
    const dataset = await makeDataset(sites)
    const run = path.join(temporaryFolder('threads'), 'run')
    const options = ['--rounds', '3', '--in-process', '--device', 'wasm', '--threads', '1', '--json']
    const simulation = startCli(['simulate', dataset, '--out', run, ...options])
    // Every site has read volumes by then.
    await simulation.waitFor((event) => event.type === 'round-finished' && event.round === 1)
    const threads = threadsOf(simulation.child.pid!)
    const ended = await simulation.ended
    expect(`${ended.stderr}${ended.code}`).toBe('0')
    return threads.length
  }

  test('a simulation in one process has no more threads with six sites than with two: they share the one that reads', async () => {
    const [few, many] = await Promise.all([threadsWith(2), threadsWith(6)])
    // A thread a site would be four more.
    expect(many - few).toBeLessThan(3)
  })
})
