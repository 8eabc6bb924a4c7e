import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  canonicalJson,
  type EventLog,
  MeshflError,
  openEventLog,
  type Study,
  studySha256,
  writeFileAtomic,
} from '@meshfl/core'
import { parseStudy, readStudyYaml } from './study-from-options.js'

export interface RunFolder {
  studySha256: string
  /** Whether the folder held this study before. */
  resumed: boolean
  log: EventLog
}

/**
 * Opens a run's folder: writes study.yaml into a new one; an old one must hold the same study.
 * @throws MeshflError `RUN_STUDY_MISMATCH` when the folder belongs to another study
 */
export async function openRunFolder(path: string, asked: Study): Promise<RunFolder> {
  const file = join(path, 'study.yaml')
  const resumed = existsSync(file)
  if (resumed) {
    const kept = await readRunStudy(path)
    if (canonicalJson(kept) !== canonicalJson(asked)) {
      throw new MeshflError(
        'RUN_STUDY_MISMATCH',
        `${path} holds a run of another study: ${firstDifference(kept, asked)}`,
        {
          kind: 'usage',
          hint: 'give the options that it was started with, or another --out',
        },
      )
    }
  } else {
    const { stringify } = await import('yaml')
    await writeFileAtomic(file, stringify(asked))
  }
  return { studySha256: studySha256(asked), resumed, log: openEventLog(join(path, 'events.jsonl')) }
}

/** The study of a run. @throws MeshflError `FILE_NOT_FOUND`, `STUDY_INVALID` */
export async function readRunStudy(path: string): Promise<Study> {
  const file = join(path, 'study.yaml')
  return parseStudy(await readStudyYaml(file), file)
}

function firstDifference(kept: object, asked: object, prefix = ''): string {
  for (const key of new Set([...Object.keys(kept), ...Object.keys(asked)])) {
    const a = (kept as Record<string, unknown>)[key]
    const b = (asked as Record<string, unknown>)[key]
    if (canonicalJson(a ?? null) === canonicalJson(b ?? null)) continue
    if (a !== null && b !== null && typeof a === 'object' && typeof b === 'object')
      return firstDifference(a, b, `${prefix}${key}.`)
    return `${prefix}${key} is ${JSON.stringify(a)} there and ${JSON.stringify(b)} here`
  }
  return 'nothing differs'
}
