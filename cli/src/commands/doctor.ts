import type { Engine } from '@meshfl/engine'
import { Command } from 'commander'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

export function doctorCommand(): Command {
  return withOutputOptions(
    new Command('doctor')
      .description('Show which engines are there, why others are not, and what limits this machine has')
      .addHelpText('after', '\nExample:\n  meshfl doctor'),
  ).action(async (options: OutputOptions) => {
    await runCommand(options, { title: 'meshfl doctor' }, async ({ output }) => {
      const [{ openEngine, probeEngines }, { formatBytes, now }, { checkSurroundings }] = await Promise.all([
        import('@meshfl/engine'),
        import('@meshfl/core'),
        import('../surroundings.js'),
      ])
      const deviceOf = ({ device }: Engine): string =>
        `${device.name}, ${device.instructionSet}, ${formatBytes(device.memoryBytes)} for a session`
      output.say(`node ${process.version}, ${process.platform} ${process.arch}`)
      for (const check of await checkSurroundings()) {
        output.say(`${check.ok ? 'ok  ' : 'BAD '} ${check.what}${check.hint ? `\n     ${check.hint}` : ''}`)
        if (options.json)
          output.events({ type: 'log', time: now(), level: check.ok ? 'info' : 'error', message: check.what })
      }
      for (const probe of await probeEngines()) {
        const { name, available, reason, hint } = probe
        const device = available ? deviceOf(await openEngine({ device: name })) : ''
        output.result(
          { type: 'engine', name, available, device, reason, ...(hint ? { hint } : {}) },
          available
            ? `ok   engine ${name}: ${device}`
            : `--   engine ${name}: ${reason}${hint ? `\n     ${hint}` : ''}`,
        )
      }
    })
  })
}
