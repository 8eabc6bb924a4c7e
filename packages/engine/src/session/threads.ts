import { availableParallelism, cpus } from 'node:os'
import { MeshflError } from '@meshfl/core'

const MOST_THREADS = 64

/** @throws MeshflError `ENGINE_INPUT` unless the number, by default the machine's cores, can be had */
export function countThreads(threads: number | undefined): number {
  const count = threads ?? Math.min(availableParallelism(), MOST_THREADS)
  if (!Number.isSafeInteger(count) || count < 1 || count > MOST_THREADS) {
    throw new MeshflError('ENGINE_INPUT', `${count} threads`, { hint: `ask for 1 to ${MOST_THREADS} threads` })
  }
  return count
}

/** For example `AMD EPYC 9454, 2 threads`. */
export function processorName(threads: number): string {
  const processor = cpus()[0]?.model.trim() || process.arch
  return `${processor}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`
}
