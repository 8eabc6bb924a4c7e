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
  /** Until its turn: who asked for it. */
  wanted: (() => boolean)[]
}

/**
 * Reads files in turn and keeps what the last few held, as long as they do not change. Where nobody waits any more when a file's turn
 * comes, it is not read, and the promise rejects.
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
      found.wanted.push(isWanted)
      return found.result
    }
    const wanted = [isWanted]
    const forget = (): void => {
      if (all.get(path)?.wanted === wanted) all.delete(path)
    }
    const result = inTurn(async () => {
      if (!wanted.some((isStillWanted) => isStillWanted())) {
        // Whoever asks from now on has it read.
        forget()
        throw new Error(`nobody waits for ${path} any more`)
      }
      return read(path, stamp)
    })
    all.delete(path)
    all.set(path, { stamp, result, wanted })
    // A file that could not be read may be mended while the page is open.
    result.catch(forget)
    if (all.size > most) all.delete(all.keys().next().value!)
    return result
  }
}
