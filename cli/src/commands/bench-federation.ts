import { Command } from 'commander'
import type { FederationFigure } from '../bench-federation/cases.js'
import { listOf, wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface BenchFederationOptions extends OutputOptions {
  sites: number[]
  all?: boolean
}

/** From here on sites share processes, and what is timed is their communication. */
const MANY_SITES = 65

export function benchFederationCommand(): Command {
  return withOutputOptions(
    new Command('federation')
      .description(
        'Measure the federation on this machine, encrypted, signed and synced: time a round, bytes, restarts, memory',
      )
      .option('--sites <list>', 'numbers of sites whose rounds are timed', listOf(wholeNumber(1)), [2, 8])
      .option('--all', 'time 1,000 and 4,000 sites too (some minutes more)')
      .addHelpText(
        'after',
        '\nExamples:\n  meshfl bench federation --sites 2,8 --json\n  meshfl bench federation --all',
      ),
  ).action(async (options: BenchFederationOptions) => {
    await runCommand(options, { title: 'meshfl bench federation' }, async ({ output, signal }) => {
      const cases = await import('../bench-federation/cases.js')
      const timed = (sites: number) => (): Promise<FederationFigure> =>
        sites < MANY_SITES ? cases.measureRound(sites) : cases.measureManySites(sites)
      const work = [
        ...options.sites.map(timed),
        cases.measureWire,
        cases.measureKilledSite,
        cases.measureRestart,
        cases.measureFirstTask,
        cases.measureMemory,
        () => cases.measureIdleConnections(3000),
        ...(options.all ? [1000, 4000].map(timed) : []),
      ]
      output.say(rowText(['what', 'sites', 'measured', 'goal at most']))
      for (const measure of work) {
        signal.throwIfAborted()
        const figure = await measure()
        if (options.json) process.stdout.write(`${JSON.stringify(figure)}\n`)
        else output.say(rowText(rowOf(figure)))
      }
    })
  })
}

function rowOf({ case: name, sites, measured, goal }: FederationFigure): string[] {
  const words = (values: Record<string, number>): string =>
    Object.entries(values)
      .map(([what, value]) => `${what} ${value}`)
      .join(', ')
  const isMet = Object.entries(goal).every(([what, most]) => measured[what]! <= most)
  return [name, `${sites}`, words(measured), `${words(goal)}${isMet ? '' : ': not met'}`]
}

function rowText([what, sites, measured, goal]: string[]): string {
  return `${what!.padEnd(17)}${sites!.padStart(5)}  ${measured!.padEnd(66)}  ${goal}`
}
