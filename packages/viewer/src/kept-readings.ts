import { MeshflError } from '@meshfl/core'
import { fileStamp } from './file-stamp.js'

/** Reads a file. @param isWanted whether the one who asked still waits when its turn comes */
export type Reader<T> = (path: string, isWanted: () => boolean) => Promise<T>

/** Does one work after the other. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>

export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const mine = last.then(work)
    last = mine.catch(() => undefined)
    return mine
  }
}

interface Reading<T> {
  stamp: string
  result: Promise<T>
  /** Until its turn: who asked for it. Then nothing, for each of them holds an answer that is long sent. */
  wanted: (() => boolean)[] | undefined
}

/** How often a file is read that changes meanwhile: somebody is writing it, and others wait for their turn. */
const MOST_READS = 2

/**
 * Reads files in turn and keeps what the last few held, as long as they do not change. Where nobody waits any more when a file's turn
 * comes, it is not read, and the promise rejects. What changed while it was read is not given out: it is read again, once.
 * @returns a reader that throws MeshflError `FILE_CHANGES` where a file changed both times, and what `read` throws
 */
export function keptReadings<T>(
  most: number,
  inTurn: Turns,
  read: (path: string, stamp: string) => Promise<T>,
): Reader<T> {
  const all = new Map<string, Reading<T>>()
  return async (path, isWanted) => {
    const stamp = await fileStamp(path)
    const found = all.get(path)
    if (found?.stamp === stamp) {
      found.wanted?.push(isWanted)
      return found.result
    }
    const forget = (): void => {
      if (all.get(path) === reading) all.delete(path)
    }
    const work = async (): Promise<T> => {
      const isWantedStill = reading.wanted?.some((isStillWanted) => isStillWanted())
      reading.wanted = undefined
      if (!isWantedStill) {
        // Whoever asks from now on has it read.
        forget()
        throw new Error(`nobody waits for ${path} any more`)
      }
      return readUnchanged(path, read, reading)
    }
    const reading: Reading<T> = { stamp, result: inTurn(work), wanted: [isWanted] }
    all.delete(path)
    all.set(path, reading)
    // A file that could not be read may be mended while the page is open.
    reading.result.catch(forget)
    if (all.size > most) all.delete(all.keys().next().value!)
    return reading.result
  }
}

/** Reads a file that stays as it is meanwhile, and notes its stamp. */
async function readUnchanged<T>(
  path: string,
  read: (path: string, stamp: string) => Promise<T>,
  reading: { stamp: string },
): Promise<T> {
  for (let reads = 0; reads < MOST_READS; reads++) {
    const stamp = await fileStamp(path)
    reading.stamp = stamp
    const [outcome] = await Promise.allSettled([read(path, stamp)])
    if ((await fileStamp(path)) !== stamp) continue // what went wrong, if anything, may be that it is half written
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  }
  throw new MeshflError('FILE_CHANGES', `${path} changes while it is read`, {
    hint: 'wait until it is written, and open it again',
    data: { path },
  })
}
