import { Command } from 'commander'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'
import type { ExperimentOptions } from '../run-experiment.js'
import { withTrainingOptions } from '../training-options.js'

interface Options extends OutputOptions, ExperimentOptions {}

const EXAMPLE = `
Example:
  meshfl experiment experiment.yaml --out ./experiment

  # experiment.yaml; paths are from its folder
  dataset: ./dataset              # all arms are scored on it
  split: test                     # or valid
  seeds: [0, 1, 2]
  study: { rounds: 50 }           # keys of study.yaml (meshfl init), of all arms
  arms:                           # the others are compared with the first
    central: { how: train }
    federated: { how: simulate }
    fedprox: { how: simulate, study: { federation: { strategy: fedprox } } }
    alone: { how: train, dataset: ./dataset/sites/site-1 }`

export function experimentCommand(): Command {
  return withOutputOptions(
    withTrainingOptions(
      new Command('experiment')
        .description(
          'Train several arms with several seeds, score all models on the same cases, and write one report. Run it again with the same --out to go on',
        )
        .argument('<file>', 'the arms and seeds, in YAML: see below')
        .requiredOption('--out <dir>', 'folder of all runs and of the report'),
    ).addHelpText('after', EXAMPLE),
  ).action(async (file: string, options: Options) => {
    await runCommand(options, { title: 'meshfl experiment' }, async ({ output, signal }) => {
      const { runExperiment } = await import('../run-experiment.js')
      const { experiment, page } = await runExperiment(file, options, output, signal)
      const { armText, experimentEvent } = await import('../describe-experiment.js')
      output.result(
        experimentEvent(experiment, options.out),
        [...experiment.arms.map(armText), `report: ${page}`].join('\n'),
      )
    })
  })
}
