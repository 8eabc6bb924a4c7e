import { Command } from 'commander'
import { listOf, wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface BenchFederationOptions extends OutputOptions {
  sites: number[]
}

export function benchFederationCommand(): Command {
  return withOutputOptions(
    new Command('federation')
      .description(
        'Measure the federation on this machine, encrypted, signed and synced: time a round, bytes, restarts, memory',
      )
      .option('--sites <list>', 'numbers of sites whose rounds are timed', listOf(wholeNumber(1)), [2, 8])
      .addHelpText('after', '\nExample:\n  meshfl bench federation --sites 2,8 --json'),
  ).action(async (options: BenchFederationOptions) => {
    await runCommand(options, { title: 'meshfl bench federation' }, async ({ output, signal }) => {
      const cases = await import('../bench-federation/cases.js')
      const work = [
        ...options.sites.map(
          (sites) => () => (sites <= 64 ? cases.measureRound(sites) : cases.measureManySites(sites)),
        ),
        cases.measureWire,
        cases.measureKilledSite,
        cases.measureRestart,
        cases.measureFirstTask,
        cases.measureMemory,
        () => cases.measureIdleConnections(3000),
      ]
      for (const measure of work) {
        signal.throwIfAborted()
        const { type, case: name, sites, goal, ...measured } = await measure()
        const values = Object.entries(measured).map(([key, value]) => `${key} ${value}`)
        const line = `${name.padEnd(18)}${String(sites).padStart(5)} sites   ${values.join(', ').padEnd(44)} goal: ${goal}`
        if (options.json) process.stdout.write(`${JSON.stringify({ type, case: name, sites, ...measured, goal })}\n`)
        else output.say(line)
      }
    })
  })
}
