import { Command } from 'commander'
import { type EngineOptions, engineChoice } from '../engine-options.js'
import { type FederationOptions, withFederationOptions } from '../federation-options.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'
import { type StudyOptions, withStudyOptions } from '../study-options.js'
import { type TelemetryOptions, withTelemetryOptions } from '../telemetry-options.js'
import { type TrainingOptions, withTrainingOptions } from '../training-options.js'

interface SimulateOptions
  extends OutputOptions,
    FederationOptions,
    StudyOptions,
    EngineOptions,
    TrainingOptions,
    TelemetryOptions {
  out: string
  inProcess?: boolean
}

/** More sites than this are not given a process each: every process holds an engine of its own. */
const MOST_PROCESSES = 16

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
      const [{ MeshflError }, { openDataset }, { studyForRun }, { simulateFederation }, { describeFederation }] =
        await Promise.all([
          import('@meshfl/core'),
          import('@meshfl/dataset'),
          import('../study-for-run.js'),
          import('../simulate-federation.js'),
          import('../describe-federation.js'),
        ])
      const { manifest } = await openDataset(path)
      if (manifest.sites.length === 0) {
        throw new MeshflError('SIMULATE_NO_SITES', `${path} was not dealt to sites`, {
          kind: 'usage',
          hint: 'prepare it with meshfl split --sites N',
        })
      }
      const result = await simulateFederation({
        dataset: path,
        sites: manifest.sites,
        folder: options.out,
        study: await studyForRun(options.out, options, manifest),
        from: options.from,
        command: 'simulate',
        inProcess: options.inProcess ?? manifest.sites.length > MOST_PROCESSES,
        engine: engineChoice(options),
        training: options,
        telemetry: options,
        output,
        signal,
      })
      output.result(...describeFederation(result, options.out))
    })
  })
}
