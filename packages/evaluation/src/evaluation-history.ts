import { open, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { explainReadError, explainWriteError, MeshflError, makeFolder, syncFolder } from '@meshfl/core'
import { z } from 'zod'

const EvaluationSchema = z.strictObject({
  /** ISO 8601, UTC. */
  time: z.string(),
  modelSha256: z.string(),
  /** Name or hash of the dataset. */
  dataset: z.string(),
  split: z.string(),
})
export type Evaluation = z.infer<typeof EvaluationSchema>

/**
 * Adds an evaluation to a file of JSON lines and says how often this model has now been evaluated on this split of this
 * dataset: what a report's `evaluations` holds. Of two processes at once neither takes the line of the other away.
 * @throws MeshflError `EVAL_HISTORY_MALFORMED` for a file that was not written by this function, and those of a write
 */
export async function recordEvaluation(file: string, evaluation: Evaluation): Promise<number> {
  const before = await readLines(file)
  parseHistory(before, file)
  // A line that a crash cut short stays as it is, and ends here.
  const end = before === '' || before.endsWith('\n') ? '' : '\n'
  await appendLine(file, `${end}${JSON.stringify(evaluation)}\n`)
  return countEvaluations(file, evaluation)
}

/**
 * How often a model has been evaluated on a split so far.
 * @throws MeshflError `EVAL_HISTORY_MALFORMED`
 */
export async function countEvaluations(file: string, of: Omit<Evaluation, 'time'>): Promise<number> {
  const { modelSha256, dataset, split } = of
  return parseHistory(await readLines(file), file).filter(
    (one) => one.modelSha256 === modelSha256 && one.dataset === dataset && one.split === split,
  ).length
}

async function appendLine(path: string, line: string): Promise<void> {
  try {
    makeFolder(dirname(path))
    const file = await open(path, 'a')
    try {
      await file.writeFile(line)
      await file.sync()
    } finally {
      await file.close()
    }
    await syncFolder(dirname(path))
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

async function readLines(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw explainReadError(error, file)
  }
}

function parseHistory(text: string, file: string): Evaluation[] {
  const found: Evaluation[] = []
  for (const line of text.split('\n')) {
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      continue // empty, or what a crash cut short
    }
    const parsed = EvaluationSchema.safeParse(value)
    if (!parsed.success) throw malformed(file, parsed.error)
    found.push(parsed.data)
  }
  return found
}

function malformed(file: string, cause: unknown): MeshflError {
  return new MeshflError('EVAL_HISTORY_MALFORMED', `${file} is no list of evaluations`, {
    hint: 'move the file away; the count of evaluations then begins anew',
    data: { file },
    cause,
  })
}
