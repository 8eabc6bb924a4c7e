import type { Study } from '@meshfl/core'
import { Command } from 'commander'
import type { EngineOptions } from '../engine-options.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { type RouteOptions, withRouteOptions } from '../route-options.js'
import { runCommand } from '../run-command.js'
import type { DatasetTrainer } from '../site-trainer.js'
import { type TrainingOptions, withTrainingOptions } from '../training-options.js'

interface JoinOptions extends OutputOptions, EngineOptions, TrainingOptions, RouteOptions {
  data: string
  out?: string
}

export function joinCommand(): Command {
  return withOutputOptions(
    withRouteOptions(
      withTrainingOptions(
        new Command('join')
          .description(
            'Join a federation as a site: trains on the scans here and sends only weights. Run it again to go on',
          )
          .argument('<invite>', 'what meshfl serve printed for this site: mfl1:..., or @file that holds it')
          .requiredOption(
            '--data <dataset>',
            "the site's dataset: a folder under sites/ made by meshfl split, or a whole dataset",
          ),
      ),
    )
      .option(
        '--out <state>',
        "folder of the site's keys and state (default: the user's state folder); keep it private",
      )
      .addHelpText(
        'after',
        '\nExample:\n  meshfl join mfl1:trainer.example.org:5555/... --data ./dataset/sites/site-1',
      ),
  ).action(async (words: string, options: JoinOptions) => {
    const coordinator = /^mfl1:([^/]+)/.exec(words)?.[1]
    await runCommand(
      options,
      { title: 'meshfl join', live: true, ...(coordinator ? { coordinator } : {}) },
      async ({ output, signal }) => {
        const [
          { MeshflError, now, studySha256 },
          { modelLayout },
          { joinFederation, parseInvite },
          { engineFromOptions },
          { relayFromOptions },
          { readInvite },
          { siteStateFolder },
          { createDatasetTrainer, describeSite, openTrainingDataset, siteName },
          { describeResult },
        ] = await Promise.all([
          import('@meshfl/core'),
          import('@meshfl/engine'),
          import('@meshfl/federation'),
          import('../engine-options.js'),
          import('../route-options.js'),
          import('../read-invite.js'),
          import('../state-folder.js'),
          import('../site-trainer.js'),
          import('../describe-result.js'),
        ])
        const invite = await readInvite(words)
        const dataset = await openTrainingDataset(options.data)
        const engine = await engineFromOptions(options)
        const folder = options.out ?? siteStateFolder(invite, siteName(dataset))
        let prepared: Promise<DatasetTrainer> | undefined
        const prepare = (study: Study): Promise<DatasetTrainer> => {
          prepared ??= createDatasetTrainer(dataset, study, engine, options)
          return prepared
        }
        const relay = await relayFromOptions(options, parseInvite(invite), (message) =>
          output.events({ type: 'log', time: now(), level: 'info', message }),
        )
        try {
          const result = await joinFederation({
            invite,
            ...(relay ? { address: relay.endpoint } : {}),
            folder,
            describe: async (study) => {
              // Where it cannot be made, the coordinator hears why when the site is to train.
              const plan = await prepare(study).then(
                ({ session }) => session.memory.plannedBytes,
                () => undefined,
              )
              return describeSite(dataset, engine, plan)
            },
            createTrainer: async (study, layoutSha256) => {
              if (modelLayout(study.model).sha256 !== layoutSha256) {
                throw new MeshflError(
                  'MODEL_LAYOUT_MISMATCH',
                  'the coordinator lays out the study’s model differently',
                  {
                    hint: 'use the version of meshfl that the coordinator uses',
                  },
                )
              }
              const { trainer, memory } = await prepare(study)
              output.events({
                type: 'run-started',
                time: now(),
                command: 'join',
                run: studySha256(study).slice(0, 12),
                rounds: study.rounds,
                sites: 1,
                engine: engine.name,
                device: `${engine.device.name} (${engine.device.instructionSet}, ${engine.precision})`,
                path: folder,
              })
              output.events(memory)
              return trainer
            },
            allowEngineChange: options.allowEngineChange === true,
            events: output.events,
            signal,
          })
          output.result(...describeResult(result, folder))
        } finally {
          await prepared?.then(
            ({ session }) => session.dispose(),
            () => undefined,
          )
          await relay?.close()
        }
      },
    )
  })
}
