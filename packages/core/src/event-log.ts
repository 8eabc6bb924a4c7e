import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { EventSchema, type MeshflEvent } from './events.js'
import { explainWriteError, mayPass } from './file-errors.js'
import { makeFolder } from './files.js'

/** An append-only file of events, one JSON object a line. */
export interface EventLog {
  /** Adds a line. What is written in one turn goes to the file at its end, together; @throws MeshflError what an earlier write met */
  write(event: MeshflEvent): void
  /** @throws MeshflError `DISK_FULL`, `PATH_NOT_WRITABLE` when lines were still waiting, and other errors of the last write */
  close(): void
}

/** What waits while the file cannot be written; lines beyond it are lost. */
const MAX_WAITING_BYTES = 16 << 20

/**
 * Opens events.jsonl for appending; a last line that a crash cut short is dropped. `step`, `progress` and `traffic` within a round
 * are not kept: they are for who watches. Where the file cannot be written now, lines wait for the next write: a run need not end
 * for its log.
 * @throws MeshflError `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export function openEventLog(path: string): EventLog {
  try {
    makeFolder(dirname(path))
    dropPartialLine(path)
    const file = openSync(path, 'a')
    let closed = false
    let waiting: Buffer[] = []
    /** Lines of this turn. */
    let fresh = ''
    let isScheduled = false
    let failure: unknown
    const flush = (): void => {
      isScheduled = false
      if (fresh !== '') waiting.push(Buffer.from(fresh))
      fresh = ''
      if (waiting.length === 0) return
      let rest: Buffer = waiting.length === 1 ? waiting[0]! : Buffer.concat(waiting)
      try {
        while (rest.length > 0) rest = rest.subarray(writeSync(file, rest))
        waiting = []
      } catch (error) {
        failure = explainWriteError(error, path)
        waiting = [rest] // of the first line perhaps the end only: it goes on where the disk was full
      }
    }
    return {
      write(event) {
        if (closed || event.type === 'step' || event.type === 'progress') return
        if (event.type === 'traffic' && event.round === undefined) return
        if (failure !== undefined && !mayPass(failure)) throw failure
        failure = undefined
        if ((waiting[0]?.length ?? 0) < MAX_WAITING_BYTES) fresh += `${JSON.stringify(event)}\n`
        if (isScheduled) return
        isScheduled = true
        queueMicrotask(flush)
      },
      close() {
        if (closed) return
        closed = true
        failure = undefined
        flush()
        try {
          if (failure !== undefined) throw failure
          fsyncSync(file)
        } finally {
          closeSync(file)
        }
      },
    }
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

/**
 * The events in a file, in order; lines of an unknown type (from a newer version) are left out.
 * @param types those that are wanted; default: all
 */
export function readEventLog(path: string, types?: readonly MeshflEvent['type'][]): MeshflEvent[] {
  if (!existsSync(path)) return []
  const events: MeshflEvent[] = []
  for (const line of linesOf(path)) {
    if (line === '') continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      continue // the line that a crash cut short
    }
    if (types && !types.includes((value as MeshflEvent | null)?.type as MeshflEvent['type'])) continue
    const parsed = EventSchema.safeParse(value)
    if (parsed.success) events.push(parsed.data)
  }
  return events
}

const PIECE_BYTES = 1 << 20
const NEWLINE = 0x0a

/** The lines of a file, which may be longer than a string can be. */
function* linesOf(path: string): Generator<string> {
  const file = openSync(path, 'r')
  try {
    let begun: Buffer[] = []
    for (;;) {
      const piece = Buffer.allocUnsafe(PIECE_BYTES)
      const bytes = piece.subarray(0, readSync(file, piece))
      if (bytes.length === 0) break
      let start = 0
      for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
        yield String(Buffer.concat([...begun, bytes.subarray(start, end)]))
        begun = []
        start = end + 1
      }
      begun.push(bytes.subarray(start))
    }
    yield String(Buffer.concat(begun))
  } finally {
    closeSync(file)
  }
}

function dropPartialLine(path: string): void {
  if (!existsSync(path)) return
  const file = openSync(path, 'r+')
  try {
    const piece = Buffer.allocUnsafe(PIECE_BYTES)
    const length = fstatSync(file).size
    // From the end, piece by piece: there is seldom more to look at than its last byte.
    let end = length
    while (end > 0) {
      const start = Math.max(0, end - PIECE_BYTES)
      const last = piece.subarray(0, readSync(file, piece, 0, end - start, start)).lastIndexOf(NEWLINE)
      end = start + last + 1
      if (last >= 0) break
    }
    if (end < length) ftruncateSync(file, end)
  } finally {
    closeSync(file)
  }
}
