import type { Engine } from '@meshfl/engine'
import type { Command } from 'commander'
import { wholeNumber } from './option-parsers.js'

export interface EngineOptions {
  device?: string
  threads?: number
}

/** Adds the options that choose what computes. */
export function withEngineOptions(command: Command): Command {
  return command
    .option('--device <name>', 'cuda, cpu or wasm (default: the fastest that is there)')
    .option(
      '--threads <n>',
      'threads of the engine (default: all cores); the result does not depend on it',
      wholeNumber(1),
    )
}

/** Opens the engine that the options ask for. @throws MeshflError `ENGINE_UNAVAILABLE`, `USAGE_OPTION` */
export async function engineFromOptions(options: EngineOptions): Promise<Engine> {
  const [{ openEngine }, { MeshflError }] = await Promise.all([import('@meshfl/engine'), import('@meshfl/core')])
  const { device } = options
  if (device !== undefined && device !== 'cuda' && device !== 'cpu' && device !== 'wasm') {
    throw new MeshflError('USAGE_OPTION', `--device does not know "${device}"`, {
      kind: 'usage',
      hint: 'use cuda, cpu or wasm',
    })
  }
  return openEngine({
    ...(device ? { device } : {}),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  })
}
