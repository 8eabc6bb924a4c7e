import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { explainReadError, MeshflError } from '@meshfl/core'
import { z } from 'zod'
import { type Baseline, BaselineSchema } from './baseline.js'

/**
 * Reads an earlier report: a report.json, the folder that holds it, or the run in whose report folder it lies.
 * @throws MeshflError `EVAL_BASELINE_MALFORMED`, and those of a read
 */
export async function readBaseline(path: string): Promise<Baseline> {
  const file = await baselineFile(path)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw explainReadError(error, file)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw malformed(file, error)
  }
  const parsed = BaselineSchema.safeParse(value)
  if (!parsed.success) throw malformed(file, parsed.error)
  return parsed.data
}

/** The report.json that a baseline is read from. */
export async function baselineFile(path: string): Promise<string> {
  for (const candidate of [join(path, 'report.json'), join(path, 'report', 'report.json')]) {
    if ((await stat(candidate).catch(() => undefined))?.isFile()) return candidate
  }
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory()
  return isFolder ? join(path, 'report.json') : path // to say that it is not there
}

function malformed(file: string, cause: unknown): MeshflError {
  const why = cause instanceof z.ZodError ? `: ${cause.issues[0]?.path.join('.')} ${cause.issues[0]?.message}` : ''
  return new MeshflError('EVAL_BASELINE_MALFORMED', `${file} is no report that can be compared with${why}`, {
    hint: 'name a report.json, the folder that holds it, or a run that was scored',
    data: { file },
    cause,
  })
}
