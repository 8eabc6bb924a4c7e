import { Command, InvalidArgumentError } from 'commander'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface AuditCommandOptions extends OutputOptions {
  key?: Buffer
}

export function auditCommand(): Command {
  return withOutputOptions(
    new Command('audit')
      .description(
        'Verify a federation offline: its signed ledger, and that rounds/, latest and best are the models that it names; with kept updates every round is computed again',
      )
      .argument('<run>', 'folder that was given to meshfl serve or simulate as --out')
      .option(
        '--key <key>',
        "the coordinator's public key, which an earlier audit printed (default: from the folder's own keys)",
        publicKey,
      )
      .addHelpText(
        'after',
        '\nExample:\n  meshfl audit ./run\nThe run may go on meanwhile. Exit code 4: something is not as it was signed.',
      ),
  ).action(async (folder: string, options: AuditCommandOptions) => {
    await runCommand(options, { title: 'meshfl audit' }, async ({ output }) => {
      const [{ modelLayout }, { auditRun }, { createStepOptimizer }, { readRunStudy }, { initialModelOf }] =
        await Promise.all([
          import('@meshfl/engine'),
          import('@meshfl/federation'),
          import('@meshfl/training'),
          import('../run-folder.js'),
          import('../initial-model.js'),
        ])
      const study = await readRunStudy(folder)
      const { ok, rounds, replayed, models, signingPublic, problem, note } = await auditRun({
        folder,
        study,
        layout: modelLayout(study.model),
        initialModel: await initialModelOf(folder, study),
        stepOptimizer: createStepOptimizer(study.model, study.recipe),
        ...(options.key ? { signingPublic: options.key } : {}),
      })
      const key = Buffer.from(signingPublic).toString('base64url')
      const what = study.federation.sync === 'step' ? 'steps' : 'rounds'
      const counts = `${rounds} ${what} are right (${models} model files, ${replayed} ${what} computed again)`
      output.result(
        {
          type: 'audit',
          rounds,
          ok,
          replayed,
          models,
          key,
          ...(problem ? { problem } : {}),
          ...(note === undefined ? {} : { note }),
        },
        [
          ...(problem ? [`${what.slice(0, -1)} ${problem.round} is broken: ${problem.what}`] : []),
          counts,
          ...(note === undefined ? [] : [note]),
          `key of the coordinator: ${key}`,
        ].join('\n'),
      )
      if (!ok) process.exitCode = 4
    })
  })
}

function publicKey(text: string): Buffer {
  const key = Buffer.from(text, 'base64url')
  if (!/^[A-Za-z0-9_-]{43}$/.test(text) || key.length !== 32)
    throw new InvalidArgumentError('expected 43 letters, digits, - or _, as meshfl audit prints it')
  return key
}
