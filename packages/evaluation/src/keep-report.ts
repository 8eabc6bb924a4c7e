import { existsSync, renameSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { canonicalJson, explainReadError, explainWriteError, makeFolder, syncFolder } from '@meshfl/core'
import type { Report } from './report.js'
import { reportFiles } from './write-report.js'

/**
 * Moves a report that a new one would replace into a folder of its own below, where it has other scores: those of another model or
 * dataset, for example. It stays to be replaced by the same scores, and where it has no cases: the run's log tells it again.
 * @returns the folder that it is in now; undefined where nothing was moved
 * @throws MeshflError those of a read and of a write
 */
export async function keepReport(folder: string, next: Report): Promise<string | undefined> {
  const files = reportFiles(folder)
  const text = await readFile(files.json, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw explainReadError(error, files.json)
  })
  if (text === undefined || isToldAgain(text, next)) return undefined
  try {
    const kept = freeFolder(folder, statSync(files.json).mtime)
    makeFolder(kept)
    // report.json first: its presence says that a report is whole.
    for (const file of Object.values(files)) if (existsSync(file)) renameSync(file, join(kept, basename(file)))
    await Promise.all([kept, folder].map(syncFolder))
    return kept
  } catch (error) {
    throw explainWriteError(error, folder)
  }
}

/** Named by when the report was written, in UTC. */
function freeFolder(folder: string, written: Date): string {
  const time = written.toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '')
  const name = join(folder, `earlier-${time}`)
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? name : `${name}-${n}`
    if (!existsSync(candidate)) return candidate
  }
}

function isToldAgain(text: string, next: Report): boolean {
  let earlier: Partial<Report> | null
  try {
    earlier = JSON.parse(text)
  } catch {
    return false
  }
  if (Array.isArray(earlier?.cases) && earlier.cases.length === 0) return true
  return scoresOf(earlier) === scoresOf(JSON.parse(JSON.stringify(next)))
}

function scoresOf(report: Partial<Report> | null): string {
  const { model, dataset, split, classes, conventions, cases } = report ?? {}
  return canonicalJson({ model, dataset, split, classes, conventions, cases })
}
