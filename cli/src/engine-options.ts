import type { Engine, Precision } from '@meshfl/engine'
import { type Command, Option } from 'commander'
import { deviceName, wholeNumber } from './option-parsers.js'

/** Most threads of an engine: the engine's own limit, of which --help is to tell without loading it. */
export const MOST_THREADS = 64

export interface EngineOptions {
  device?: 'cuda' | 'cpu' | 'wasm' | `cuda:${number}`
  threads?: number
  checkpointing?: 'none' | 'auto' | 'layer'
  maxMemory?: string
  precision?: Precision
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
      `threads of the engine, 1 to ${MOST_THREADS} (default: all cores, as far as that); the result does not depend on it`,
      wholeNumber(1, MOST_THREADS),
    )
    .option(
      '--max-memory <bytes>',
      "most that the engine's buffers may take: 2GB, 512MB, 1.5GiB (default: the machine's)",
    )
    .addOption(
      new Option(
        '--checkpointing <how>',
        'layers that a training step computes again to save memory: as few as fit, none, or as many as help; the result does not depend on it (default: auto)',
      ).choices(['auto', 'none', 'layer']),
    )
    .addOption(
      new Option(
        '--precision <name>',
        'what the engine multiplies and keeps: bf16 takes half the memory, and rounds more (default: fp32)',
      ).choices(['fp32', 'bf16']),
    )
}

/** Opens the engine that the options ask for. @throws MeshflError `ENGINE_UNAVAILABLE`, `MODEL_UNSUPPORTED`, `USAGE_BYTES` */
export async function engineFromOptions(options: EngineOptions): Promise<Engine> {
  const [{ parseBytes }, { openEngine }] = await Promise.all([import('@meshfl/core'), import('@meshfl/engine')])
  const { device, threads, checkpointing, maxMemory } = options
  return openEngine({
    ...(options.precision ? { precision: options.precision } : {}),
    ...(device ? { device } : {}),
    ...(threads === undefined ? {} : { threads }),
    ...(checkpointing ? { checkpointing } : {}),
    ...(maxMemory === undefined ? {} : { maxMemoryBytes: parseBytes(maxMemory) }),
  })
}

/** The engine's part of a command's options. */
export function engineChoice({ device, threads, checkpointing, maxMemory, precision }: EngineOptions): EngineOptions {
  return {
    ...(device ? { device } : {}),
    ...(threads === undefined ? {} : { threads }),
    ...(checkpointing ? { checkpointing } : {}),
    ...(maxMemory === undefined ? {} : { maxMemory }),
    ...(precision ? { precision } : {}),
  }
}

/** The same options as words, for a process that is to compute in the same way. */
export function engineArguments(options: EngineOptions): string[] {
  const { device, threads, checkpointing, maxMemory, precision } = options
  return [
    ...(device ? ['--device', device] : []),
    ...(threads === undefined ? [] : ['--threads', String(threads)]),
    ...(checkpointing ? ['--checkpointing', checkpointing] : []),
    ...(maxMemory === undefined ? [] : ['--max-memory', maxMemory]),
    ...(precision ? ['--precision', precision] : []),
  ]
}
