import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { EventSchema, type MeshflEvent } from './events.js'
import { explainWriteError, makeFolder } from './files.js'

/** An append-only file of events, one JSON object a line. */
export interface EventLog {
  write(event: MeshflEvent): void
  close(): void
}

/**
 * Opens events.jsonl for appending; a last line that a crash cut short is dropped. `step`, `progress` and `traffic` within a round
 * are not kept: they are for who watches.
 * @throws MeshflError `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export function openEventLog(path: string): EventLog {
  try {
    makeFolder(dirname(path))
    dropPartialLine(path)
    const file = openSync(path, 'a')
    let closed = false
    return {
      write(event) {
        if (closed || event.type === 'step' || event.type === 'progress') return
        if (event.type === 'traffic' && event.round === undefined) return
        try {
          writeSync(file, `${JSON.stringify(event)}\n`)
        } catch (error) {
          throw explainWriteError(error, path)
        }
      },
      close() {
        if (closed) return
        closed = true
        fsyncSync(file)
        closeSync(file)
      },
    }
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

/** The events in a file, in order; lines of an unknown type (from a newer version) are left out. */
export function readEventLog(path: string): MeshflEvent[] {
  if (!existsSync(path)) return []
  const events: MeshflEvent[] = []
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      continue // the line that a crash cut short
    }
    const parsed = EventSchema.safeParse(value)
    if (parsed.success) events.push(parsed.data)
  }
  return events
}

function dropPartialLine(path: string): void {
  if (!existsSync(path)) return
  const bytes = readFileSync(path)
  const end = bytes.lastIndexOf(0x0a) + 1
  if (end === bytes.length) return
  const file = openSync(path, 'r+')
  ftruncateSync(file, end)
  closeSync(file)
}
