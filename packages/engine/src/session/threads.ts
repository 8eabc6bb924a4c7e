import { availableParallelism, cpus } from 'node:os'
import { MeshflError } from '@meshfl/core'

/** Most threads that a session may have. */
export const MOST_THREADS = 64

/**
 * Threads of a session that is not told how many: the cores, shared out, as far as a session can have so many.
 * @param sharers processes that compute on this machine at a time
 */
export function defaultThreads(sharers = 1, cores = availableParallelism()): number {
  return Math.min(MOST_THREADS, Math.max(1, Math.floor(cores / sharers)))
}

/** @throws MeshflError `ENGINE_INPUT` unless the number, by default the machine's cores, can be had */
export function countThreads(threads: number | undefined): number {
  const count = threads ?? defaultThreads()
  if (!Number.isSafeInteger(count) || count < 1 || count > MOST_THREADS) {
    throw new MeshflError('ENGINE_INPUT', `a session cannot have ${count} threads`, {
      kind: 'usage',
      hint: `ask for 1 to ${MOST_THREADS} threads`,
      data: { threads: count, mostThreads: MOST_THREADS },
    })
  }
  return count
}

const counted = (threads: number): string => `${threads} ${threads === 1 ? 'thread' : 'threads'}`

/** The error for threads that the system does not start. */
export const threadsRefused = (threads: number, cause: unknown): MeshflError =>
  new MeshflError('ENGINE_THREADS', `the system has no room for ${counted(threads)}: ${(cause as Error).message}`, {
    hint: 'fewer --threads, or raise the process limit',
    data: { threads },
    cause,
  })

/** For example `AMD EPYC 9454, 2 threads`. */
export function processorName(threads: number): string {
  const processor = cpus()[0]?.model.trim() || process.arch
  return `${processor}, ${counted(threads)}`
}
