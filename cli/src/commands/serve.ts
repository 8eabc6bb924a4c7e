import { Command } from 'commander'
import { approval, type CoordinatorCommandOptions, withCoordinatorOptions } from '../coordinator-options.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'
import { type TelemetryOptions, withTelemetryOptions } from '../telemetry-options.js'

interface ServeOptions extends OutputOptions, CoordinatorCommandOptions, TelemetryOptions {
  out: string
  tunnel?: string
}

export function serveCommand(): Command {
  return withOutputOptions(
    withTelemetryOptions(
      withCoordinatorOptions(
        new Command('serve')
          .description(
            'Coordinate a federation: prints an invite a site and averages what the sites learn. Run it again with the same --out to go on',
          )
          .requiredOption('--out <run>', 'folder of the run'),
      ),
    )
      .option(
        '--tunnel <host:port>',
        'listen there for sites that can only leave by HTTPS: put a reverse proxy with TLS before it',
      )
      .addHelpText(
        'after',
        '\nExample:\n  meshfl serve --out ./run --rounds 50 --sites 3 --advertise trainer.example.org:5555',
      ),
  ).action(async (options: ServeOptions) => {
    let pause: (paused: boolean) => void = () => undefined
    const request = {
      title: 'meshfl serve',
      live: true,
      onPause: (paused: boolean) => pause(paused),
    }
    await runCommand(options, request, async ({ output, signal }) => {
      const [{ startFederationRun }, { studyForRun }, { describeFederation }] = await Promise.all([
        import('../federation-run.js'),
        import('../study-for-run.js'),
        import('../describe-federation.js'),
      ])
      const study = await studyForRun(options.out, options)
      const federation = {
        ...study.federation,
        ...(options.sites === undefined ? {} : { sites: options.sites }),
        ...(options.minSites === undefined ? {} : { minSites: options.minSites }),
        ...(options.deadline === undefined ? {} : { roundDeadlineSeconds: options.deadline }),
      }
      const run = await startFederationRun({
        folder: options.out,
        study: { ...study, federation },
        from: options.from,
        bind: options.bind,
        ...(options.advertise ? { advertise: options.advertise } : {}),
        ...(options.tunnel ? { tunnel: options.tunnel } : {}),
        telemetry: options,
        sites: federation.sites,
        ...(federation.minSites === undefined ? {} : { minSites: federation.minSites }),
        approve: approval(options.out, options, output),
        command: 'serve',
        printInvites: true,
        output,
        signal,
      })
      pause = (paused) => (paused ? run.coordinator.pause() : run.coordinator.resume())
      try {
        const result = await run.coordinator.finished
        output.result(...describeFederation(result, options.out))
      } finally {
        await run.close()
      }
    })
  })
}
