import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
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
import { BEST_FILE, CHECKPOINT_FILE, LATEST_FILE } from '@meshfl/training'
import { keepInitialModel } from './initial-model.js'
import { parseStudy, readStudyYaml } from './study-from-options.js'

export interface RunFolder {
  studySha256: string
  log: EventLog
  /** Takes back what was written of a new run that failed before it had anything to go on from; of an old one, nothing. */
  forget(): Promise<void>
}

/** Who works in a folder: one machine (`meshfl train`), or a coordinator. */
export type RunKind = 'train' | 'federation'

/**
 * Opens a run's folder: writes study.yaml into a new one; an old one must hold the same study, and be of the same kind.
 * @param from where the model is that a new run begins with, if one was named
 * @throws MeshflError `RUN_STUDY_MISMATCH` when the folder belongs to another study, `RUN_OF_OTHER_KIND`, `INITIAL_MODEL_MISSING`, `STUDY_INVALID`
 */
export async function openRunFolder(path: string, asked: Study, kind: RunKind, from?: string): Promise<RunFolder> {
  checkKind(path, kind)
  if (kind === 'federation') checkHasNoFold(asked)
  const file = join(path, 'study.yaml')
  const written: string[] = []
  if (existsSync(file)) {
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
    if (from !== undefined) written.push(await keepInitialModel(path, asked, from))
    await writeFileAtomic(file, stringify(asked))
    written.push(file)
  }
  return {
    studySha256: studySha256(asked),
    log: openEventLog(join(path, 'events.jsonl')),
    async forget() {
      for (const name of written) await rm(name, { force: true })
    },
  }
}

/** @throws MeshflError `STUDY_INVALID` for a federation of a fold */
export function checkHasNoFold({ fold }: { fold?: number | undefined }): void {
  if (fold === undefined) return
  throw new MeshflError('STUDY_INVALID', `the study is of fold ${fold}, and a federation has no folds`, {
    kind: 'usage',
    hint: 'take the key fold out of the study, or train on that fold with meshfl train',
  })
}

/** Both kinds call their models by the same names: one would write over those of the other. */
function checkKind(path: string, kind: RunKind): void {
  const has = (name: string): boolean => existsSync(join(path, name))
  const refuse = (what: string, hint: string): MeshflError =>
    new MeshflError('RUN_OF_OTHER_KIND', `${path} ${what}`, { kind: 'usage', hint })
  const isFederation = has('keys/coordinator.json')
  if (isFederation && kind === 'train')
    throw refuse('holds a run of several sites', 'go on with meshfl serve or simulate, or choose another --out')
  if (isFederation) return
  if (has(CHECKPOINT_FILE) && kind === 'federation')
    throw refuse('holds a run of meshfl train', 'go on with meshfl train, or choose another --out')
  if (!has(CHECKPOINT_FILE) && (has(LATEST_FILE) || has(BEST_FILE))) {
    throw refuse(
      'holds models and not what they came from',
      'choose another --out: a new run would write over them. To go on, bring the rest of their folder back',
    )
  }
}

/** The study of a run. @throws MeshflError `FILE_NOT_FOUND`, `FILE_NOT_READABLE`, `STUDY_INVALID` */
export async function readRunStudy(path: string): Promise<Study> {
  const file = join(path, 'study.yaml')
  if (!existsSync(path)) {
    throw new MeshflError('FILE_NOT_FOUND', `there is no folder ${path}`, {
      hint: 'check the path of the run, and whether its disk is mounted',
    })
  }
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
