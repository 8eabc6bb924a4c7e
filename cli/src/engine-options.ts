import type { Engine } from '@meshfl/engine'
import type { Command } from 'commander'
import { deviceName, wholeNumber } from './option-parsers.js'

export interface EngineOptions {
  device?: 'cuda' | 'cpu' | 'wasm' | `cuda:${number}`
  threads?: number
}

/** Adds the options that choose what computes. */
export function withEngineOptions(command: Command): Command {
  return command
    .option(
      '--device <name>',
      'what computes: cuda, cpu or wasm; cuda:1 is the second GPU (default: the fastest that is there)',
      deviceName,
    )
    .option(
      '--threads <n>',
      'threads of the engine (default: all cores); the result does not depend on it',
      wholeNumber(1),
    )
}

/** Opens the engine that the options ask for. @throws MeshflError `ENGINE_UNAVAILABLE` */
export async function engineFromOptions(options: EngineOptions): Promise<Engine> {
  const { openEngine } = await import('@meshfl/engine')
  const { device } = options
  return openEngine({
    ...(device ? { device } : {}),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  })
}
