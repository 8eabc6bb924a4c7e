import { Command } from 'commander'
import { type FederationOptions, withFederationOptions } from '../federation-options.js'
import { positiveNumber, wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'
import { type StudyOptions, withStudyOptions } from '../study-options.js'
import { type TelemetryOptions, withTelemetryOptions } from '../telemetry-options.js'

interface ServeOptions extends OutputOptions, FederationOptions, StudyOptions, TelemetryOptions {
  out: string
  sites?: number
  minSites?: number
  deadline?: number
  bind: string
  advertise?: string
  tunnel?: string
  autoApprove?: boolean
}

export function serveCommand(): Command {
  return withOutputOptions(
    withTelemetryOptions(
      withStudyOptions(
        withFederationOptions(new Command('serve'))
          .description(
            'Coordinate a federation: prints an invite a site and averages what the sites learn. Run it again with the same --out to go on',
          )
          .requiredOption('--out <run>', 'folder of the run'),
      ),
    )
      .option('--sites <n>', 'sites to invite (default: 1)', wholeNumber(1))
      .option('--min-sites <n>', 'sites that a round needs (default: all)', wholeNumber(1))
      .option(
        '--deadline <seconds>',
        'commit a round after this time with at least --min-sites (default: wait for all)',
        positiveNumber,
      )
      .option('--bind <endpoint>', 'where to listen', 'tcp://*:5555')
      .option('--advertise <host:port>', 'the address that invites name (default: this host and the bound port)')
      .option(
        '--tunnel <host:port>',
        'listen there for sites that can only leave by HTTPS: put a reverse proxy with TLS before it',
      )
      .option('--auto-approve', 'admit every site that has a valid invite without asking')
      .addHelpText(
        'after',
        '\nExample:\n  meshfl serve --out ./run --rounds 50 --sites 3 --advertise trainer.example.org:5555',
      ),
  ).action(async (options: ServeOptions) => {
    let pause: (paused: boolean) => void = () => undefined
    const request = {
      title: 'meshfl serve',
      live: true,
      howToContinue: `go on with: meshfl serve --out ${options.out}`,
      onPause: (paused: boolean) => pause(paused),
    }
    await runCommand(options, request, async ({ output, signal }) => {
      const [{ now }, { startFederationRun }, { studyForRun }, { describeResult }] = await Promise.all([
        import('@meshfl/core'),
        import('../federation-run.js'),
        import('../study-for-run.js'),
        import('../describe-result.js'),
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
        bind: options.bind,
        ...(options.advertise ? { advertise: options.advertise } : {}),
        ...(options.tunnel ? { tunnel: options.tunnel } : {}),
        telemetry: options,
        sites: federation.sites,
        ...(federation.minSites === undefined ? {} : { minSites: federation.minSites }),
        autoApprove: options.autoApprove === true,
        command: 'serve',
        printInvites: true,
        output,
        signal,
      })
      pause = (paused) => (paused ? run.coordinator.pause() : run.coordinator.resume())
      try {
        if (!options.autoApprove && (options.json || !process.stdin.isTTY)) {
          const message =
            'new sites will be refused: there is no terminal to ask for approval; --auto-approve admits them'
          output.events({ type: 'log', time: now(), level: 'warn', message })
        }
        const result = await run.coordinator.finished
        output.result(...describeResult(result, options.out))
      } finally {
        await run.close()
      }
    })
  })
}
