import type { Command } from 'commander'
import { withEngineOptions } from './engine-options.js'

export interface TrainingOptions {
  dataCache?: string
  allowEngineChange?: boolean
}

/** Adds the options that choose what computes, and how training goes about it. */
export function withTrainingOptions(command: Command): Command {
  return withEngineOptions(command)
    .option(
      '--data-cache <bytes>',
      'most bytes of decoded volumes to keep in memory; no more than the engine leaves; 0 reads every volume anew (default: 2GB, or an eighth of the memory)',
    )
    .option(
      '--allow-engine-change',
      'go on with a run that another engine, instruction set or precision began: its bits cannot be computed again',
    )
}

/** As words, for a process that is to do the same. */
export function trainingArguments({ dataCache, allowEngineChange }: TrainingOptions): string[] {
  return [
    ...(dataCache === undefined ? [] : ['--data-cache', dataCache]),
    ...(allowEngineChange ? ['--allow-engine-change'] : []),
  ]
}

/** Bytes of the option; undefined without it. @throws MeshflError `USAGE_BYTES` */
export async function dataCacheBytes({ dataCache }: TrainingOptions): Promise<number | undefined> {
  if (dataCache === undefined || dataCache.trim() === '0') return dataCache === undefined ? undefined : 0
  const { parseBytes } = await import('@meshfl/core')
  return parseBytes(dataCache)
}
