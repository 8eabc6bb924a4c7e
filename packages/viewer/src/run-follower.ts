import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { EventSchema, explainReadError, MeshflError, systemErrorName } from '@meshfl/core'
import type { RunFigures } from './page-data.js'
import { createRunGatherer } from './run-figures.js'

/** Reads the events of a run that may be going on. */
export interface RunFollower {
  /**
   * The figures so far: reads what was appended since it was last asked.
   * @throws MeshflError `FILE_NOT_FOUND`, `FILE_NOT_READABLE` and others of reading a file
   */
  figures(): RunFigures
}

const PIECE_BYTES = 1 << 20
const NEWLINE = 0x0a
const WANTED = new Set(['run-started', 'site-trained', 'site-evaluated', 'round-finished', 'best'])

/**
 * Follows an events.jsonl. A last line without its end is read when it is whole; where the file is shorter than before, another run
 * has begun in it and is read from its start. A file that is not there yet has no events; one that is there no more is an error, until
 * there is one again.
 * @param now milliseconds since 1970
 */
export function createRunFollower(path: string, now: () => number = Date.now): RunFollower {
  let gatherer = createRunGatherer()
  /** Behind the last whole line. */
  let offset = 0
  let inode: number | undefined
  let wasThere = false
  const startOver = (): void => {
    gatherer = createRunGatherer()
    offset = 0
    inode = undefined
  }
  return {
    figures() {
      let file: number
      try {
        file = openSync(path, 'r')
      } catch (error) {
        if (systemErrorName(error) !== 'ENOENT') throw explainReadError(error, path)
        startOver()
        if (wasThere) throw gone(path)
        return gatherer.figures(now())
      }
      try {
        const { size, ino } = fstatSync(file)
        if (size < offset || (inode !== undefined && ino !== inode)) startOver()
        inode = ino
        wasThere = true
        offset = readLines(file, offset, (line) => add(line))
      } catch (error) {
        throw explainReadError(error, path)
      } finally {
        closeSync(file)
      }
      return gatherer.figures(now())
    },
  }

  function add(line: string): void {
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      return // a line that a crash cut short, and that was gone on from
    }
    if (!WANTED.has(String((value as { type?: unknown } | null)?.type))) return
    const parsed = EventSchema.safeParse(value)
    if (parsed.success) gatherer.add(parsed.data)
  }
}

function gone(path: string): MeshflError {
  return new MeshflError('FILE_NOT_FOUND', `${path} was moved or deleted`, {
    hint: 'what is shown is its last',
    data: { path },
  })
}

/** Calls back with every whole line from an offset on. @returns the offset behind the last of them */
function readLines(file: number, from: number, onLine: (line: string) => void): number {
  const piece = Buffer.allocUnsafe(PIECE_BYTES)
  let begun: Buffer[] = []
  let [position, behind] = [from, from]
  for (;;) {
    const bytes = readSync(file, piece, 0, PIECE_BYTES, position)
    if (bytes === 0) return behind
    let start = 0
    for (let end = piece.indexOf(NEWLINE); end >= 0 && end < bytes; end = piece.indexOf(NEWLINE, start)) {
      onLine(String(Buffer.concat([...begun, piece.subarray(start, end)])))
      begun = []
      start = end + 1
      behind = position + start
    }
    begun.push(Buffer.from(piece.subarray(start, bytes)))
    position += bytes
  }
}
