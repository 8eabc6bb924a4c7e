import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { explainReadError, MeshflError } from '@meshfl/core'
import { type Baseline, BaselineSchema } from './baseline.js'

/**
 * Reads an earlier report: a report.json, the folder that holds it, or the run in whose report folder it lies.
 * @throws MeshflError `EVAL_BASELINE_MALFORMED`, and those of a read
 */
export async function readBaseline(path: string): Promise<Baseline> {
  const file = await fileOf(path)
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

async function fileOf(path: string): Promise<string> {
  for (const candidate of [join(path, 'report.json'), join(path, 'report', 'report.json')]) {
    if ((await stat(candidate).catch(() => undefined))?.isFile()) return candidate
  }
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory()
  return isFolder ? join(path, 'report.json') : path // to say that it is not there
}

function malformed(file: string, cause: unknown): MeshflError {
  return new MeshflError('EVAL_BASELINE_MALFORMED', `${file} is no report of meshfl eval`, {
    hint: 'name a report.json, the folder that holds it, or a run that was scored',
    data: { file },
    cause,
  })
}
