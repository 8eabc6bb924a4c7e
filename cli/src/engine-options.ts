import type { Engine, Precision } from '@meshfl/engine'
import { type Command, Option } from 'commander'
import { wholeNumber } from './option-parsers.js'

export interface EngineOptions {
  device?: 'cuda' | 'cpu' | 'wasm'
  threads?: number
  precision?: Precision
}

/** Adds the options that choose what computes. */
export function withEngineOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--device <name>', 'what computes (default: the fastest that is there)').choices([
        'cuda',
        'cpu',
        'wasm',
      ]),
    )
    .option(
      '--threads <n>',
      'threads of the engine (default: all cores); the result does not depend on it',
      wholeNumber(1),
    )
    .addOption(precisionOption())
}

/** `--precision`, which every command has that computes. */
export const precisionOption = (): Option =>
  new Option(
    '--precision <name>',
    'what the engine multiplies and keeps: bf16 takes half the memory and less time, and rounds more',
  )
    .choices(['fp32', 'bf16'])
    .default('fp32')

/** Opens the engine that the options ask for. @throws MeshflError `ENGINE_UNAVAILABLE`, `MODEL_UNSUPPORTED` */
export async function engineFromOptions(options: EngineOptions): Promise<Engine> {
  const { openEngine } = await import('@meshfl/engine')
  const { device } = options
  return openEngine({
    ...(options.precision ? { precision: options.precision } : {}),
    ...(device ? { device } : {}),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  })
}
