import { readFile } from 'node:fs/promises'
import { MeshflError, writeFileAtomic } from '@meshfl/core'
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
 * dataset: what a report's `evaluations` holds.
 * @throws MeshflError `EVAL_HISTORY_MALFORMED` for a file that was not written by this function
 */
export async function recordEvaluation(file: string, evaluation: Evaluation): Promise<number> {
  const before = await readHistory(file)
  const all = [...before, evaluation]
  await writeFileAtomic(file, all.map((one) => `${JSON.stringify(one)}\n`).join(''))
  const { modelSha256, dataset, split } = evaluation
  return all.filter((one) => one.modelSha256 === modelSha256 && one.dataset === dataset && one.split === split).length
}

async function readHistory(file: string): Promise<Evaluation[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  try {
    return lines.map((line) => EvaluationSchema.parse(JSON.parse(line)))
  } catch (error) {
    throw new MeshflError('EVAL_HISTORY_MALFORMED', `${file} is no list of evaluations`, {
      hint: 'move the file away; the count of evaluations then begins anew',
      data: { file },
      cause: error,
    })
  }
}
