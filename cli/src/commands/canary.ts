import { Command } from 'commander'
import { approval, type CoordinatorCommandOptions, withCoordinatorOptions } from '../coordinator-options.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface CanaryOptions extends OutputOptions, CoordinatorCommandOptions {
  out?: string
}

export function canaryCommand(): Command {
  return withOutputOptions(
    withCoordinatorOptions(
      new Command('canary').description(
        'One round on all sites before the long run: data, memory, time; predicts its length and leaves nothing behind',
      ),
    )
      .option('--out <folder>', 'keep its folder there (default: a temporary one, removed at the end)')
      .addHelpText(
        'after',
        '\nExample:\n  meshfl canary --study study.yaml --sites 3 --advertise trainer.example.org:5555\nThe sites join with the invites that it prints, and later with those of meshfl serve: each time with a state folder (join --out) of its own.',
      ),
  ).action(async (options: CanaryOptions) => {
    await runCommand(options, { title: 'meshfl canary', live: true, startsOver: true }, async ({ output, signal }) => {
      const [
        { MeshflError },
        { existsSync },
        { mkdtemp, rm },
        { tmpdir },
        { join },
        { startFederationRun },
        { studyForRun },
        report,
        { VERSION },
      ] = await Promise.all([
        import('@meshfl/core'),
        import('node:fs'),
        import('node:fs/promises'),
        import('node:os'),
        import('node:path'),
        import('../federation-run.js'),
        import('../study-for-run.js'),
        import('../canary-report.js'),
        import('../program.js'),
      ])
      // Sites tell of their data, memory and engine when they are admitted, which happens once in a folder.
      if (options.out !== undefined && existsSync(join(options.out, 'study.yaml'))) {
        throw new MeshflError('CANARY_EXISTS', `${options.out} holds a run or a canary already`, {
          kind: 'usage',
          hint: 'choose another --out, or leave it out',
        })
      }
      const folder = options.out ?? (await mkdtemp(join(tmpdir(), 'meshfl-canary-')))
      try {
        const study = await studyForRun(folder, options)
        const sites = options.sites ?? study.federation.sites
        // One round of all sites: what would leave some of them out, or go on after it, is not looked at.
        const { earlyStop: _, targetDice: __, ...kept } = study
        const { sampleCount: _count, sampleFraction: _fraction, ...federation } = study.federation
        const canary = new report.CanaryReport(VERSION)
        const approve = approval(folder, options, output)
        const run = await startFederationRun({
          folder,
          study: {
            ...kept,
            rounds: 1,
            federation: { ...federation, sites, minSites: sites, crossSite: false, keepUpdates: false },
          },
          from: options.from,
          bind: options.bind,
          ...(options.advertise ? { advertise: options.advertise } : {}),
          telemetry: {},
          sites,
          minSites: sites,
          approve: (request) => {
            canary.admit(request.description)
            return approve(request)
          },
          onEvent: (event) => canary.take(event),
          command: 'canary',
          printInvites: true,
          output,
          signal,
        })
        try {
          await run.coordinator.finished
        } finally {
          await run.close()
        }
        const result = canary.finish(study.rounds)
        output.result(result, report.describeCanary(result))
      } finally {
        if (options.out === undefined) await rm(folder, { recursive: true, force: true })
      }
    })
  })
}
