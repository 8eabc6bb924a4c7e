import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { explainWriteError, syncFolder } from '@meshfl/core'
import type { Report } from './report.js'
import { reportFiles } from './write-report.js'

/**
 * Moves a report that a new one would replace into a folder of its own below, where it is of another evaluation: of another model or
 * dataset, for example. It stays to be replaced where the same voxels were counted, and where it has no cases: the run's log tells it
 * again. One that cannot be read is kept.
 * @returns the folder that it is in now; undefined where nothing was moved
 * @throws MeshflError those of a write
 */
export async function keepReport(folder: string, next: Report): Promise<string | undefined> {
  const files = reportFiles(folder)
  if (!existsSync(files.json)) return undefined
  const text = await readFile(files.json, 'utf8').catch(() => '')
  if (isToldAgain(text, next)) return undefined
  try {
    const kept = makeFreeFolder(join(folder, `earlier-${timeText(statSync(files.json).mtime)}`))
    // report.json first: its presence says that a report is whole.
    for (const file of Object.values(files)) if (existsSync(file)) renameSync(file, join(kept, basename(file)))
    await Promise.all([kept, folder].map(syncFolder))
    return kept
  } catch (error) {
    throw explainWriteError(error, folder)
  }
}

/** In UTC, as a part of a file name. */
function timeText(time: Date): string {
  return time.toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '')
}

/** A new folder: of this name, or with a number behind it. */
function makeFreeFolder(name: string): string {
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? name : `${name}-${n}`
    try {
      mkdirSync(candidate)
      return candidate
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

function isToldAgain(text: string, next: Report): boolean {
  let earlier: Partial<Report> | null
  try {
    earlier = JSON.parse(text)
  } catch {
    return false
  }
  const cases = earlier?.cases
  if (!Array.isArray(cases)) return false
  if (cases.length === 0) return true
  const of = ({ model, dataset, split, classes }: Partial<Report>) => ({ model, dataset, split, classes })
  return (
    isDeepStrictEqual(of(earlier ?? {}), of(JSON.parse(JSON.stringify({ ...next, cases: [] })))) &&
    cases.length === next.cases.length &&
    // What else a case has is measured from its counts, or from the same voxels.
    next.cases.every(
      ({ subject, confusion }, i) => cases[i]?.subject === subject && isDeepStrictEqual(cases[i]?.confusion, confusion),
    )
  )
}
