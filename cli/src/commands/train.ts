import { Command } from 'commander'
import { wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'
import { withStudyOptions } from '../study-options.js'
import { withTelemetryOptions } from '../telemetry-options.js'
import type { TrainRunOptions } from '../train-run.js'
import { withTrainingOptions } from '../training-options.js'

interface TrainOptions extends OutputOptions, TrainRunOptions {}

export function trainCommand(): Command {
  return withOutputOptions(
    withTelemetryOptions(
      withTrainingOptions(
        withStudyOptions(
          new Command('train')
            .description('Train on one machine: the centralised baseline. Run it again with the same --out to go on')
            .argument('<dataset>', 'a dataset made by meshfl split')
            .requiredOption('--out <run>', 'folder of the run')
            .option(
              '--fold <n>',
              'of a dataset with --folds: the fold, from 0, that is its validation',
              wholeNumber(0),
            ),
        ),
      ),
    ).addHelpText('after', '\nExample:\n  meshfl train ./dataset --out ./run --rounds 50'),
  ).action(async (path: string, options: TrainOptions) => {
    await runCommand(options, { title: 'meshfl train', live: true }, async ({ output, signal }) => {
      const [{ trainRun }, { describeResult }] = await Promise.all([
        import('../train-run.js'),
        import('../describe-result.js'),
      ])
      output.result(...describeResult(await trainRun(path, options, output, signal), options.out))
    })
  })
}
