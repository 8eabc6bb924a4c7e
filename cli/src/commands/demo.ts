import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { type EngineOptions, engineChoice } from '../engine-options.js'
import { type FederationOptions, withFederationOptions } from '../federation-options.js'
import { wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'
import { type TrainingOptions, withTrainingOptions } from '../training-options.js'

interface DemoOptions extends OutputOptions, FederationOptions, EngineOptions, TrainingOptions {
  out?: string
  sites: number
  rounds?: number
  seed: number
}

export function demoCommand(): Command {
  return withOutputOptions(
    withTrainingOptions(withFederationOptions(new Command('demo')))
      .description(
        'The whole story in minutes, offline: make brains, split them, train across sites, score held-out subjects',
      )
      .option('--out <dir>', 'folder for everything (default: ./meshfl-demo, or the next free name)')
      .option('--sites <n>', 'sites, each a process of its own', wholeNumber(1), 3)
      .option('--rounds <n>', 'rounds (default: enough to learn fine detail)', wholeNumber(1))
      .option('--seed <n>', 'the seed of brains, split and training', wholeNumber(0), 0)
      .addHelpText('after', '\nExample:\n  meshfl demo'),
  ).action(async (options: DemoOptions) => {
    const { out = freeFolder('meshfl-demo') } = options
    // Without --out the same command would begin in the next free folder.
    const howToContinue = `run the same command again ${options.out === undefined ? `with --out ${out} ` : ''}to go on`
    await runCommand(options, { title: 'meshfl demo', live: true, howToContinue }, async ({ output, signal }) => {
      const { runDemo } = await import('../run-demo.js')
      await runDemo({ ...options, engine: engineChoice(options), training: options, out, output, signal })
    })
  })
}

function freeFolder(name: string): string {
  for (let i = 1; ; i++) {
    const candidate = i === 1 ? name : `${name}-${i}`
    if (!existsSync(candidate)) return candidate
  }
}
