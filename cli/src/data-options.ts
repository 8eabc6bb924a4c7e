import type { Command } from 'commander'
import { withEngineOptions } from './engine-options.js'

export interface DataOptions {
  dataCache?: string
}

/** Adds the options that choose what computes, and how much training keeps of its volumes. */
export function withTrainingOptions(command: Command): Command {
  return withEngineOptions(command).option(
    '--data-cache <bytes>',
    'most bytes of decoded volumes to keep in memory; 0 reads every volume anew (default: 2GB, or an eighth of the memory)',
  )
}

/** As words, for a process that is to do the same. */
export function dataArguments({ dataCache }: DataOptions): string[] {
  return dataCache === undefined ? [] : ['--data-cache', dataCache]
}

/** Bytes of the option; undefined without it. @throws MeshflError `USAGE_BYTES` */
export async function dataCacheBytes({ dataCache }: DataOptions): Promise<number | undefined> {
  if (dataCache === undefined || dataCache.trim() === '0') return dataCache === undefined ? undefined : 0
  const { parseBytes } = await import('@meshfl/core')
  return parseBytes(dataCache)
}
