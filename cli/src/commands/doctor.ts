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
      const [{ probeEngines }, { formatBytes, now }, { checkSurroundings }] = await Promise.all([
        import('@meshfl/engine'),
        import('@meshfl/core'),
        import('../surroundings.js'),
      ])
      output.say(`node ${process.version}, ${process.platform} ${process.arch}`)
      for (const check of await checkSurroundings()) {
        output.say(`${check.ok ? 'ok  ' : 'BAD '} ${check.what}${check.hint ? `\n     ${check.hint}` : ''}`)
        if (options.json)
          output.events({ type: 'log', time: now(), level: check.ok ? 'info' : 'error', message: check.what })
      }
      for (const probe of await probeEngines()) {
        const device = probe.device
          ? `${probe.device.name}, ${probe.device.instructionSet}, ${formatBytes(probe.device.memoryBytes)}`
          : ''
        output.result(
          {
            type: 'engine',
            name: probe.name,
            available: probe.available,
            device,
            ...(probe.reason ? { reason: probe.reason } : {}),
            ...(probe.hint ? { hint: probe.hint } : {}),
          },
          probe.available
            ? `ok   engine ${probe.name}: ${device}`
            : `--   engine ${probe.name}: ${probe.reason ?? ''}${probe.hint ? `\n     ${probe.hint}` : ''}`,
        )
      }
    })
  })
}
