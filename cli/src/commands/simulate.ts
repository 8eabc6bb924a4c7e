import { Command } from 'commander'
import { withFederationOptions } from '../federation-options.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'
import type { SimulateRunOptions } from '../simulate-run.js'
import { withStudyOptions } from '../study-options.js'
import { withTelemetryOptions } from '../telemetry-options.js'
import { withTrainingOptions } from '../training-options.js'

interface SimulateOptions extends OutputOptions, SimulateRunOptions {}

export function simulateCommand(): Command {
  return withOutputOptions(
    withTelemetryOptions(
      withTrainingOptions(
        withStudyOptions(
          withFederationOptions(new Command('simulate'))
            .description(
              'Run a whole federation on this machine: a coordinator, and a process for every site of the dataset',
            )
            .argument('<dataset>', 'a dataset made by meshfl split --sites N')
            .requiredOption('--out <run>', 'folder of the run'),
        ),
      ),
    )
      .option('--in-process', 'run all sites in this process, with one engine (default: for more than 16 sites)')
      .option('--no-in-process', 'give every site a process')
      .addHelpText('after', '\nExample:\n  meshfl simulate ./dataset --out ./run --rounds 30'),
  ).action(async (path: string, options: SimulateOptions) => {
    await runCommand(options, { title: 'meshfl simulate', live: true }, async ({ output, signal }) => {
      const [{ simulateRun }, { describeFederation }] = await Promise.all([
        import('../simulate-run.js'),
        import('../describe-federation.js'),
      ])
      const result = await simulateRun(path, options, output, signal)
      output.result(...describeFederation(result, options.out))
    })
  })
}
