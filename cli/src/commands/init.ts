import { Command } from 'commander'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface InitOptions extends OutputOptions {
  out: string
  force?: boolean
}

export function initCommand(): Command {
  return withOutputOptions(
    new Command('init')
      .description('Write a study.yaml of all keys with their defaults, every key commented')
      .option('--out <file>', 'where to', 'study.yaml')
      .option('--force', 'replace a file that is there')
      .addHelpText('after', '\nExample:\n  meshfl init && meshfl serve --study study.yaml --out ./run --sites 3'),
  ).action(async (options: InitOptions) => {
    await runCommand(options, { title: 'meshfl init' }, async ({ output }) => {
      const [{ MeshflError, writeFileAtomic }, { existsSync }, { studyTemplate }] = await Promise.all([
        import('@meshfl/core'),
        import('node:fs'),
        import('../study-template.js'),
      ])
      if (existsSync(options.out) && !options.force) {
        throw new MeshflError('STUDY_EXISTS', `${options.out} is there already`, {
          kind: 'usage',
          hint: 'choose another --out, or replace it with --force',
        })
      }
      await writeFileAtomic(options.out, studyTemplate())
      output.result({ type: 'study', path: options.out }, `wrote ${options.out}`)
    })
  })
}
