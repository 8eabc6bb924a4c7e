import type { Engine } from '@meshfl/engine'
import { Command } from 'commander'
import { type Output, type OutputOptions, withOutputOptions } from '../output.js'
import { type RouteOptions, withRouteOptions } from '../route-options.js'
import { runCommand } from '../run-command.js'

interface DoctorOptions extends OutputOptions, RouteOptions {
  connect?: string
}

export function doctorCommand(): Command {
  return withOutputOptions(
    withRouteOptions(
      new Command('doctor')
        .description('Show which engines are there, why others are not, and what limits this machine has')
        .option(
          '--connect <invite>',
          'try every way to the coordinator of an invite, or of @file that holds one (direct, proxies of --proxy and the environment, --tunnel); the invite stays unused',
        ),
    ).addHelpText(
      'after',
      '\nExamples:\n  meshfl doctor\n  meshfl doctor --connect mfl1:trainer.example.org:5555/... --tunnel wss://trainer.example.org/meshfl',
    ),
  ).action(async (options: DoctorOptions) => {
    await runCommand(options, { title: 'meshfl doctor' }, async ({ output, signal }) => {
      if (options.connect === undefined) await examineMachine(output, options, signal)
      else await examineConnection(options.connect, output, options, signal)
    })
  })
}

async function examineMachine(output: Output, options: OutputOptions, signal: AbortSignal): Promise<void> {
  const [{ openEngine, probeEngines }, { formatBytes, now }, { checkSurroundings }, { describeSessionMemory }] =
    await Promise.all([
      import('@meshfl/engine'),
      import('@meshfl/core'),
      import('../surroundings.js'),
      import('../session-memory.js'),
    ])
  const deviceOf = async ({ name, device }: Engine): Promise<string> => {
    const inBf16 = await openEngine({ device: name, precision: 'bf16' }).catch(() => undefined)
    const other = inBf16?.device.instructionSet
    const sets =
      other && other !== device.instructionSet ? `${device.instructionSet} (bf16: ${other})` : device.instructionSet
    return `${device.name}, ${sets}, ${formatBytes(device.memoryBytes)} for a session`
  }
  output.say(`node ${process.version}, ${process.platform} ${process.arch}`)
  for (const check of await checkSurroundings()) {
    output.say(`${check.ok ? 'ok  ' : 'BAD '} ${check.what}${check.hint ? `\n     ${check.hint}` : ''}`)
    if (options.json)
      output.events({ type: 'log', time: now(), level: check.ok ? 'info' : 'error', message: check.what })
  }
  signal.throwIfAborted()
  for (const probe of await probeEngines()) {
    signal.throwIfAborted()
    const { name, available, reason, hint } = probe
    const engine = available ? await openEngine({ device: name }) : undefined
    const device = engine ? await deviceOf(engine) : ''
    const memory = engine ? await describeSessionMemory(engine) : []
    output.result(
      { type: 'engine', name, available, device, reason, ...(hint ? { hint } : {}), ...(engine ? { memory } : {}) },
      available
        ? [`ok   engine ${name}: ${device}`, ...memory.map((line) => `     ${line}`)].join('\n')
        : `--   engine ${name}: ${reason}${hint ? `\n     ${hint}` : ''}`,
    )
  }
}

async function examineConnection(
  text: string,
  output: Output,
  options: DoctorOptions,
  signal: AbortSignal,
): Promise<void> {
  const [{ parseInvite }, { formatRoute }, { MeshflError }, { joinOptionsOf, tryConnections }, { readInvite }] =
    await Promise.all([
      import('@meshfl/federation'),
      import('@meshfl/reach'),
      import('@meshfl/core'),
      import('../connection-ladder.js'),
      import('../read-invite.js'),
    ])
  const invite = parseInvite(await readInvite(text))
  const rungs = await tryConnections(invite, options, signal)
  for (const { route, works, words, hint, milliseconds } of rungs) {
    const name = formatRoute(route)
    output.result(
      {
        type: 'connection',
        route: name,
        works,
        reason: words,
        milliseconds: Math.round(milliseconds),
        options: joinOptionsOf(route),
        ...(hint ? { hint } : {}),
      },
      works
        ? `ok   ${name}: ${words}, ${Math.round(milliseconds)} ms\n     meshfl join <invite> ${joinOptionsOf(route)}`.trimEnd()
        : `--   ${name}: ${words}${hint ? `\n     ${hint}` : ''}`,
    )
  }
  if (!rungs.some(({ works }) => works)) {
    throw new MeshflError('NO_ROUTE', `no way leads to the coordinator at ${invite.host}:${invite.port}`, {
      hint: 'ask its operator for a tunnel (meshfl serve --tunnel), or your network’s for a proxy that allows this address',
    })
  }
}
