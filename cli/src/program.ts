import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError } from 'commander'
import { auditCommand } from './commands/audit.js'
import { benchCommand } from './commands/bench.js'
import { canaryCommand } from './commands/canary.js'
import { dataCommand } from './commands/data.js'
import { demoCommand } from './commands/demo.js'
import { doctorCommand } from './commands/doctor.js'
import { evalCommand } from './commands/eval.js'
import { experimentCommand } from './commands/experiment.js'
import { exportCommand } from './commands/export.js'
import { importCommand } from './commands/import.js'
import { initCommand } from './commands/init.js'
import { joinCommand } from './commands/join.js'
import { predictCommand } from './commands/predict.js'
import { serveCommand } from './commands/serve.js'
import { simulateCommand } from './commands/simulate.js'
import { sitesCommand } from './commands/sites.js'
import { splitCommand } from './commands/split.js'
import { trainCommand } from './commands/train.js'
import { viewCommand } from './commands/view.js'

/** The version of the tool, written into every dataset and report. */
export const VERSION: string = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version

/** The command line: names and options only. What a command does is imported when it runs, so that `--help` is quick. */
export function buildProgram(): Command {
  const program = new Command('meshfl')
    .description(
      'Train a brain segmentation network across hospitals that share no scan.\nFor research; not a medical device.',
    )
    .version(VERSION)
    .showHelpAfterError('(add --help for what it understands)')
    .exitOverride()
    // What stands behind a command is for it, not for those above it that have an option of the same name.
    .enablePositionalOptions()
  for (const command of [
    demoCommand(),
    dataCommand(),
    splitCommand(),
    initCommand(),
    trainCommand(),
    canaryCommand(),
    serveCommand(),
    joinCommand(),
    simulateCommand(),
    experimentCommand(),
    sitesCommand(),
    auditCommand(),
    predictCommand(),
    evalCommand(),
    importCommand(),
    exportCommand(),
    viewCommand(),
    doctorCommand(),
    benchCommand(),
  ]) {
    for (const each of [command, ...command.commands]) refuseOptionsAsValues(each.exitOverride())
    program.addCommand(command)
  }
  return program.addHelpText(
    'after',
    '\nExit codes: 0 done, 1 a fault of meshfl, 2 usage, 3 bad data or surroundings, 4 gate failed, 130 interrupted.',
  )
}

/** `--out --json` is a forgotten folder, not one called `--json`. */
function refuseOptionsAsValues(command: Command): void {
  for (const option of command.options) {
    if (!option.required || option.parseArg) continue
    option.argParser((text) => {
      if (text.startsWith('--')) throw new InvalidArgumentError('Its value is missing.')
      return text
    })
  }
}
